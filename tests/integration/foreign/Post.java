import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Posts what standard input lists, a line each: name, URL, content type, form (plain, chunked or multipart), file.
 * Prints each name with its status. The argument is the client: HttpClient or HttpURLConnection.
 */
public class Post {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        for (var line : new BufferedReader(new InputStreamReader(System.in)).lines().toList()) {
            var part = line.split(" ");
            var type = part[2];
            var body = Files.readAllBytes(Path.of(part[4]));
            if (part[3].equals("multipart")) {
                type = "multipart/form-data; boundary=b";
                body = multipart(body);
            }
            var chunked = part[3].equals("chunked");
            String status;
            try {
                status = "" + (args[0].equals("HttpURLConnection")
                        ? byConnection(part[1], type, body, chunked)
                        : byClient(part[1], type, body, chunked));
            } catch (IOException error) {
                status = error.toString();
            }
            System.out.println(part[0] + " " + status);
        }
    }

    static int byClient(String url, String type, byte[] body, boolean chunked) throws Exception {
        var publisher = chunked
                ? BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))
                : BodyPublishers.ofByteArray(body);
        var request = HttpRequest.newBuilder(URI.create(url)).header("Content-Type", type);
        return CLIENT.send(request.POST(publisher).build(), BodyHandlers.ofString()).statusCode();
    }

    static int byConnection(String url, String type, byte[] body, boolean chunked) throws IOException {
        var connection = (HttpURLConnection) URI.create(url).toURL().openConnection();
        connection.setRequestMethod("POST");
        connection.setDoOutput(true);
        connection.setRequestProperty("Content-Type", type);
        if (chunked) {
            connection.setChunkedStreamingMode(65536);
        } else {
            connection.setFixedLengthStreamingMode(body.length);
        }
        try (var out = connection.getOutputStream()) {
            out.write(body);
        }
        return connection.getResponseCode();
    }

    static byte[] multipart(byte[] file) throws IOException {
        var form = new ByteArrayOutputStream();
        form.write("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n".getBytes());
        form.write(file);
        form.write("\r\n--b--\r\n".getBytes());
        return form.toByteArray();
    }
}
