// A static binary that makes its system calls itself: net/http with and without TLS, HTTP/2, an aborted client.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"
)

func must(err error, what ...any) {
	if err != nil {
		fmt.Println(append(what, err)...)
		os.Exit(1)
	}
}

func main() {
	large := make([]byte, 2<<20)
	rand.Read(large)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		octets, err := io.ReadAll(r.Body)
		must(err, "request")
		w.Write(octets)
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	plain := httptest.NewServer(mux)
	secure := httptest.NewUnstartedServer(mux)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	for _, server := range []*httptest.Server{plain, secure} {
		client := server.Client()
		var all sync.WaitGroup
		for i := 0; i < 64; i++ {
			all.Add(1)
			go func(i int) {
				defer all.Done()
				for j := 0; j < 10; j++ {
					body := large[:(i*j*131)%len(large)]
					response, err := client.Post(server.URL+"/echo", "", bytes.NewReader(body))
					must(err, "post")
					octets, err := io.ReadAll(response.Body)
					response.Body.Close()
					must(err, "body")
					if !bytes.Equal(octets, body) {
						must(fmt.Errorf("other octets came back"))
					}
				}
			}(i)
		}
		all.Wait()
		response, err := client.Post(server.URL+"/echo", "", bytes.NewReader(large))
		must(err)
		octets, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !bytes.Equal(octets, large) {
			must(fmt.Errorf("a large body differs"))
		}
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		request, _ := http.NewRequestWithContext(ctx, "GET", server.URL+"/wait", nil)
		begin := time.Now()
		if _, err := client.Do(request); err == nil || time.Since(begin) > 5*time.Second {
			must(fmt.Errorf("the deadline did not count: %v after %v", err, time.Since(begin)))
		}
		cancel()
		server.CloseClientConnections()
		server.Close()
	}
	address := plain.Listener.Addr().String()
	if _, err := net.Dial("tcp", address); err == nil {
		must(fmt.Errorf("%s still listens", address))
	}
	fmt.Println("ok")
}
