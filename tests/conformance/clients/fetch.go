// Go's net/http with its cookiejar: a line of [[method, path], …] in, one of [[status, body], …] out.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"sync"
)

func ask(client *http.Client, method string, url string) [2]interface{} {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return [2]interface{}{0, err.Error()}
	}
	response, err := client.Do(request)
	if err != nil {
		return [2]interface{}{0, err.Error()}
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return [2]interface{}{response.StatusCode, string(body)}
}

func main() {
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var requests [][2]string
		if err := json.Unmarshal(lines.Bytes(), &requests); err != nil {
			panic(err)
		}
		answers := make([][2]interface{}, len(requests))
		var group sync.WaitGroup
		for number, request := range requests {
			group.Add(1)
			go func(number int, method string, path string) {
				defer group.Done()
				answers[number] = ask(client, method, os.Args[1]+path)
			}(number, request[0], request[1])
		}
		group.Wait()
		line, _ := json.Marshal(answers)
		fmt.Println(string(line))
	}
}
