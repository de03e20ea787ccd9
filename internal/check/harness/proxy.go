package harness

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// A Proxy forwards TCP connections on 127.0.0.1 to a server, until it is told to
// cut, refuse or delay them. All methods may be called concurrently.
type Proxy struct {
	listener         net.Listener
	network, address string // of the server

	mu      sync.Mutex
	lines   map[net.Conn]bool
	refuses bool
	delay   time.Duration
}

// NewProxy forwards to the server at an address ("unix" or "tcp") until Close.
func NewProxy(ctx context.Context, network, address string) (*Proxy, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, network: network, address: address, lines: map[net.Conn]bool{}}
	go p.accept(context.WithoutCancel(ctx))
	return p, nil
}

// Address returns host:port of the proxy.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

func (p *Proxy) accept(ctx context.Context) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.connect(ctx, client) {
			_ = client.Close()
		}
	}
}

// connect reports whether the client is now connected to the server.
func (p *Proxy) connect(ctx context.Context, client net.Conn) bool {
	server, err := (&net.Dialer{}).DialContext(ctx, p.network, p.address)
	if err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses {
		_ = server.Close()
		return false
	}
	p.lines[client], p.lines[server] = true, true
	go p.forward(client, server, &slow{server, p})
	go p.forward(server, client, client)
	return true
}

// forward copies one way through by; when either side ends, both do.
func (p *Proxy) forward(from, to net.Conn, by io.Writer) {
	_, _ = io.Copy(by, from)
	_, _ = from.Close(), to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lines, from)
	delete(p.lines, to)
}

// slow waits before it passes on what a client asks.
type slow struct {
	server io.Writer
	proxy  *Proxy
}

func (s *slow) Write(asked []byte) (int, error) {
	s.proxy.mu.Lock()
	delay := s.proxy.delay
	s.proxy.mu.Unlock()
	time.Sleep(delay)
	return s.server.Write(asked)
}

// Cut ends every connection, in the middle of whatever it carries.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range p.lines {
		_ = line.Close()
	}
}

// Refuse makes the server look as if it were down: it cuts every connection and
// lets none in, until Refuse(false).
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	p.refuses = refuse
	p.mu.Unlock()
	if refuse {
		p.Cut()
	}
}

// Delay makes every request wait so long before the server sees it; 0 ends it.
func (p *Proxy) Delay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Close ends the proxy and every connection.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.Cut()
}
