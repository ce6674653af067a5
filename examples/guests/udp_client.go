// The Go UDP client, with a server to answer it, and a TCP and an HTTP exchange: raw system calls from a static binary.
//
//	CGO_ENABLED=0 go build -o udp_client udp_client.go && ./udp_client [4|6]
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	return value
}

func udp(network, host string) {
	ip := net.ParseIP(host)
	server := must(net.ListenUDP(network, &net.UDPAddr{IP: ip}))
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := server.ReadFromUDP(buffer)
			if err != nil {
				return
			}
			server.WriteToUDP(append([]byte("ACK "), buffer[:n]...), from)
		}
	}()
	conn := must(net.DialUDP(network, nil, server.LocalAddr().(*net.UDPAddr)))
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	conn.Write([]byte("Hello"))
	buffer := make([]byte, 2048)
	n := must(conn.Read(buffer))
	fmt.Printf("udp: %s\n", buffer[:n])
	conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := conn.Read(buffer)
	fmt.Println("udp: nothing more:", errors.Is(err, os.ErrDeadlineExceeded))
	server.Close()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	conn.Write([]byte("anyone?"))
	_, _, err = conn.ReadFromUDP(buffer)
	fmt.Println("udp: closed port refused:", errors.Is(err, syscall.ECONNREFUSED))
}

func tcp(host string) {
	listener := must(net.Listen("tcp", net.JoinHostPort(host, "0")))
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	var group sync.WaitGroup
	var lock sync.Mutex
	whole := 0
	for i := 0; i < 32; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			conn := must(net.Dial("tcp", listener.Addr().String()))
			go func() {
				conn.Write(make([]byte, 100000))
				conn.(*net.TCPConn).CloseWrite()
			}()
			n := must(io.Copy(io.Discard, conn))
			lock.Lock()
			defer lock.Unlock()
			if n == 100000 {
				whole++
			}
		}()
	}
	group.Wait()
	fmt.Println("tcp: echoed whole:", whole, "of 32")
	address := listener.Addr().String()
	listener.Close()
	_, err := net.Dial("tcp", address)
	fmt.Println("tcp: closed port refused:", errors.Is(err, syscall.ECONNREFUSED))
}

func web(host string) {
	listener := must(net.Listen("tcp", net.JoinHostPort(host, "0")))
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello %s over %s", r.URL.Path, r.Proto)
	}))
	for _, path := range []string{"/one", "/two"} {
		response := must(http.Get("http://" + listener.Addr().String() + path))
		body := must(io.ReadAll(response.Body))
		response.Body.Close()
		fmt.Println("http:", response.StatusCode, string(body))
	}
}

func main() {
	time.AfterFunc(20*time.Second, func() { os.Exit(98) })
	network, host := "udp4", "127.0.0.1"
	if len(os.Args) > 1 && os.Args[1] == "6" {
		network, host = "udp6", "::1"
	}
	udp(network, host)
	tcp(host)
	web(host)
}
