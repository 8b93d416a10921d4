// Posts what standard input lists, a line each: name, URL, content type, form (plain, chunked or multipart), file.
// Prints each name with its status.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
)

func request(url, contentType, form string, data []byte) (*http.Request, error) {
	var body io.Reader = bytes.NewReader(data)
	if form == "chunked" {
		body = io.MultiReader(body) // of unknown length
	}
	if form == "multipart" {
		reader, writer := io.Pipe()
		parts := multipart.NewWriter(writer)
		go func() {
			part, err := parts.CreateFormFile("file", "a.jpg")
			if err == nil {
				_, err = part.Write(data)
			}
			if err == nil {
				err = parts.Close()
			}
			writer.CloseWithError(err)
		}()
		body, contentType = reader, parts.FormDataContentType()
	}
	posted, err := http.NewRequest("POST", url, body)
	if err == nil {
		posted.Header.Set("Content-Type", contentType)
	}
	return posted, err
}

func post(url, contentType, form, file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	posted, err := request(url, contentType, form, data)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(posted)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err != nil {
		return err.Error()
	}
	return fmt.Sprint(response.StatusCode)
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		part := strings.Fields(lines.Text())
		fmt.Println(part[0], post(part[1], part[2], part[3], part[4]))
	}
}
