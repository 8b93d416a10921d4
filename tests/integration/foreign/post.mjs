// Posts what standard input lists, a line each: name, URL, content type, form (plain, chunked or multipart), file.
// Prints each name with its status. The argument is the client: fetch or http.
import { readFileSync } from "node:fs";
import { request } from "node:http";

const multipart = (data) =>
  Buffer.concat([
    Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'),
    data,
    Buffer.from("\r\n--b--\r\n"),
  ]);

async function byFetch(url, type, form, data) {
  const options = { method: "POST", headers: { "content-type": type }, body: data };
  if (form === "chunked") {
    Object.assign(options, { body: new Blob([data]).stream(), duplex: "half" });
  } else if (form === "multipart") {
    options.headers = {};
    options.body = new FormData();
    options.body.append("file", new Blob([data]), "a.jpg");
  }
  const response = await fetch(url, options);
  await response.text();
  return response.status;
}

const byHttp = (url, type, form, data) =>
  new Promise((resolve, reject) => {
    const body = form === "multipart" ? multipart(data) : data;
    const headers = { "content-type": form === "multipart" ? "multipart/form-data; boundary=b" : type };
    if (form !== "chunked") headers["content-length"] = body.length;
    const sent = request(url, { method: "POST", headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(response.statusCode));
      response.on("error", reject);
    });
    sent.on("error", reject);
    for (let at = 0; at < body.length; at += 65536) sent.write(body.subarray(at, at + 65536));
    sent.end();
  });

const post = process.argv[2] === "fetch" ? byFetch : byHttp;
for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const [name, url, type, form, file] = line.split(" ");
  const status = await post(url, type, form, readFileSync(file)).catch((error) => `${error} ${error.cause ?? ""}`);
  console.log(name, status);
}
