package harness

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// echo answers each byte with itself, at a socket.
func echo(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			line, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(line, line) }()
		}
	}()
	return socket
}

// ask sends a byte and waits for the answer.
func ask(line net.Conn) error {
	if err := line.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := line.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(line, make([]byte, 1))
	return err
}

func TestAProxyForwardsDelaysCutsAndRefuses(t *testing.T) {
	proxy, err := NewProxy(t.Context(), "unix", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	dial := func() net.Conn {
		line, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = line.Close() })
		return line
	}
	line := dial()
	if err := ask(line); err != nil {
		t.Fatalf("through a proxy that only forwards: %v", err)
	}
	const delay = 50 * time.Millisecond
	proxy.Delay(delay)
	began := time.Now()
	if err := ask(line); err != nil || time.Since(began) < delay {
		t.Errorf("with a delay of %s: answered after %s, %v", delay, time.Since(began), err)
	}
	proxy.Delay(0)
	proxy.Cut()
	if err := ask(line); err == nil {
		t.Error("a connection that was cut still answers")
	}
	if err := ask(dial()); err != nil {
		t.Errorf("a new connection after the cut: %v", err)
	}
	line = dial()
	if err := errors.Join(ask(line), proxy.Refuse()); err != nil {
		t.Fatal(err)
	}
	if err := ask(line); err == nil {
		t.Error("a proxy that refuses leaves a connection open")
	}
	if _, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", proxy.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a proxy that refuses answers %v, want connection refused", err)
	}
	if err := proxy.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial()); err != nil {
		t.Errorf("after it has refused: %v", err)
	}
}
