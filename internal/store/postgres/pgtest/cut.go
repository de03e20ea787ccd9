package pgtest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Cutter passes bytes between clients and a server, and loses answers that it is
// told to, each with its connection: what was asked is done, and nobody hears of
// it.
type Cutter struct {
	Host string // of the listener
	Port int

	lose atomic.Pointer[func(asked []byte) bool]
}

// NewCutter listens for clients of the server at an address until t ends.
func NewCutter(t *testing.T, network, address string) *Cutter {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	at, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listens on %v", listener.Addr())
	}
	c := &Cutter{Host: at.IP.String(), Port: at.Port}
	go c.serve(t.Context(), listener, network, address)
	return c
}

// Lose has an answer lost where lose says so of what was asked last on its
// connection; nil: none is.
func (c *Cutter) Lose(lose func(asked []byte) bool) {
	if lose == nil {
		lose = func([]byte) bool { return false }
	}
	c.lose.Store(&lose)
}

func (c *Cutter) serve(ctx context.Context, listener net.Listener, network, address string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			_ = client.Close()
			continue
		}
		one := &cutting{Cutter: c}
		go one.pass(server, client, func(asked []byte) bool { one.remember(asked); return false })
		go one.pass(client, server, func([]byte) bool { return one.loses() })
	}
}

// cutting is one connection.
type cutting struct {
	*Cutter

	mu    sync.Mutex
	asked []byte
}

func (c *cutting) remember(asked []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked[:0], asked...)
}

func (c *cutting) loses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	lose := c.lose.Load()
	return lose != nil && (*lose)(c.asked)
}

// pass copies until either side ends, or bytes are lost.
func (c *cutting) pass(to io.WriteCloser, from io.Reader, lost func([]byte) bool) {
	defer func() { _ = to.Close() }()
	for buffer := make([]byte, 64<<10); ; {
		n, err := from.Read(buffer)
		if err != nil || lost(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
