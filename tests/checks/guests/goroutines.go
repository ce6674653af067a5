// Thousands of goroutines, each with a connection: rounds of requests, half-closes, deadlines; then datagrams.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const clients = 2000

func must(err error, what ...any) {
	if err != nil {
		fmt.Println(append(what, err)...)
		os.Exit(1)
	}
}

func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(connection, connection)
			connection.Close()
		}()
	}
}

func talk(address string, number int, start, gone *sync.WaitGroup) {
	defer gone.Done()
	connection, err := net.Dial("tcp", address)
	must(err, "dial", number)
	defer connection.Close()
	start.Done()
	start.Wait() // all are connected at once
	lines := bufio.NewReader(connection)
	for round := 0; round < 5; round++ {
		said := fmt.Sprintf("%d of %d\n", round, number)
		_, err := io.WriteString(connection, said)
		must(err, "write", number)
		heard, err := lines.ReadString('\n')
		must(err, "read", number)
		if heard != said {
			must(fmt.Errorf("%q came back for %q", heard, said))
		}
	}
	must(connection.(*net.TCPConn).CloseWrite(), "half-close")
	if rest, err := io.ReadAll(lines); err != nil || len(rest) != 0 {
		must(fmt.Errorf("after the half-close: %d octets, %v", len(rest), err))
	}
}

func deadlines(address string) {
	connection, err := net.Dial("tcp", address)
	must(err)
	defer connection.Close()
	for i := 0; i < 20; i++ {
		connection.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			must(fmt.Errorf("no deadline: %v", err))
		}
	}
	connection.SetReadDeadline(time.Time{})
	go func() { time.Sleep(20 * time.Millisecond); connection.Close() }()
	if _, err := connection.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		must(fmt.Errorf("a close did not wake the reader: %v", err))
	}
}

func datagrams() {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	go func() {
		octets := make([]byte, 65536)
		for {
			n, from, err := server.ReadFrom(octets)
			if err != nil {
				return
			}
			server.WriteTo(octets[:n], from)
		}
	}()
	var all sync.WaitGroup
	for i := 0; i < 50; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			client, err := net.Dial("udp", server.LocalAddr().String())
			must(err)
			defer client.Close()
			octets := make([]byte, 65536)
			for j := 0; j < 50; j++ {
				for {
					_, err = client.Write(octets[:j*100])
					must(err)
					client.SetReadDeadline(time.Now().Add(time.Second))
					n, err := client.Read(octets)
					if errors.Is(err, os.ErrDeadlineExceeded) {
						continue // a datagram may be lost
					}
					must(err)
					if n == j*100 {
						break
					}
				}
			}
		}()
	}
	all.Wait()
	server.Close()
}

func main() {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		listener, err := net.Listen("tcp", address)
		must(err)
		go serve(listener)
		var start, gone sync.WaitGroup
		start.Add(clients)
		gone.Add(clients)
		for i := 0; i < clients; i++ {
			go talk(listener.Addr().String(), i, &start, &gone)
		}
		gone.Wait()
		deadlines(listener.Addr().String())
		listener.Close()
	}
	datagrams()
	addresses, err := net.LookupHost("localhost")
	must(err)
	fmt.Println(2*clients, "connections,", addresses, "ok")
}
