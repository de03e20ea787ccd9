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
	own              string // address
	network, address string // of the server

	mu       sync.Mutex
	listener net.Listener // nil: it refuses
	lines    map[net.Conn]bool
	delay    time.Duration
}

// NewProxy forwards to the server at an address ("unix" or "tcp") until Close.
func NewProxy(ctx context.Context, network, address string) (*Proxy, error) {
	p := &Proxy{own: "127.0.0.1:0", network: network, address: address, lines: map[net.Conn]bool{}}
	return p, p.listen(ctx)
}

// Address returns host:port of the proxy.
func (p *Proxy) Address() string { return p.own }

// listen lets clients in, at the address that the proxy had before.
func (p *Proxy) listen(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", p.own)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener, p.own = listener, listener.Addr().String()
	go p.serve(context.WithoutCancel(ctx), listener)
	return nil
}

func (p *Proxy) serve(ctx context.Context, listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(ctx, p.network, p.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.connect(client, server, listener)
	}
}

// connect forwards both ways, unless the proxy has begun to refuse meanwhile.
func (p *Proxy) connect(client, server net.Conn, by net.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != by {
		_, _ = client.Close(), server.Close()
		return
	}
	p.lines[client], p.lines[server] = true, true
	go p.forward(client, server, &slow{server, p})
	go p.forward(server, client, client)
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

// Refuse makes the server look as if it were down: it ends every connection and
// refuses new ones until Accept.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	listener := p.listener
	p.listener = nil
	p.mu.Unlock()
	defer p.Cut()
	if listener == nil {
		return nil
	}
	return listener.Close()
}

// Accept ends Refuse. It fails where another program has taken the port.
func (p *Proxy) Accept(ctx context.Context) error { return p.listen(ctx) }

// Delay makes every request wait so long before the server sees it; 0 ends it.
func (p *Proxy) Delay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Close ends the proxy and every connection.
func (p *Proxy) Close() { _ = p.Refuse() }
