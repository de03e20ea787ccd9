package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

const (
	maxIdle     = 64               // connections that wait for the next mail
	idleTimeout = 30 * time.Second // servers close after minutes (RFC 5321, 4.5.3.2.7), balancers sooner
	maxReplies  = 1 << 20          // bytes that a server may answer to one mail
)

// connection is one dialogue with the server. One Send has it at a time.
type connection struct {
	client *gomail.Client
	dialog *smtp.Client
	socket atomic.Pointer[boundedConn]
	used   time.Time
}

// boundedConn ends a server that does not stop talking.
type boundedConn struct {
	net.Conn

	left atomic.Int64
}

func (b *boundedConn) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return n, errors.New("the server's answer is too long")
	}
	return n, err
}

// connect takes a connection that waits and still answers, or dials.
func (c *Client) connect(ctx context.Context) (*connection, error) {
	for {
		select {
		case conn := <-c.idle:
			if time.Since(conn.used) < idleTimeout && conn.alive(ctx) {
				return conn, nil
			}
			conn.cut()
		default:
			return c.dial(ctx)
		}
	}
}

func (c *Client) keep(conn *connection) {
	conn.used = time.Now()
	select {
	case c.idle <- conn:
	default:
		conn.cut()
	}
}

// dial opens a connection and says hello, STARTTLS and AUTH.
func (c *Client) dial(ctx context.Context) (*connection, error) {
	conn := &connection{}
	options := []gomail.Option{
		gomail.WithPort(c.server.port), gomail.WithTimeout(c.timeout), gomail.WithoutRset(), gomail.WithoutNoop(),
		gomail.WithDialContextFunc(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return conn.open(ctx, network, c.server)
		}),
	}
	switch {
	case c.server.tls:
		options = append(options, gomail.WithSSL())
	case c.server.password == "":
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if c.server.user != "" {
		options = append(options, gomail.WithUsername(c.server.user), gomail.WithPassword(c.server.password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin, gomail.SMTPAuthCramMD5))
	}
	client, err := gomail.NewClient(c.server.host, options...)
	if err != nil {
		return nil, err
	}
	conn.client = client
	release := context.AfterFunc(ctx, func() { conn.cut() })
	defer release()
	if conn.dialog, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		conn.cut()
		return nil, errors.Join(err, ctx.Err())
	}
	return conn, nil
}

func (conn *connection) open(ctx context.Context, network string, server server) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	plain, err := dialer.DialContext(ctx, network, server.address())
	if err != nil {
		return nil, err
	}
	socket := &boundedConn{Conn: plain}
	socket.left.Store(maxReplies)
	conn.socket.Store(socket)
	if ctx.Err() != nil {
		conn.cut() // it ended before there was a socket to cut
	}
	if !server.tls {
		return socket, nil
	}
	secured := tls.Client(socket, &tls.Config{ServerName: server.host, MinVersion: tls.VersionTLS12})
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	return secured, nil
}

// alive asks whether the server still listens.
func (conn *connection) alive(ctx context.Context) bool {
	conn.socket.Load().left.Store(maxReplies)
	defer context.AfterFunc(ctx, conn.cut)()
	return conn.dialog.UpdateDeadline(5*time.Second) == nil && conn.dialog.Noop() == nil
}

// send is one mail. The end of ctx cuts the connection, wherever it stands.
func (conn *connection) send(ctx context.Context, mail *gomail.Msg) error {
	conn.socket.Load().left.Store(maxReplies)
	defer context.AfterFunc(ctx, conn.cut)()
	return conn.client.SendWithSMTPClient(conn.dialog, mail)
}

// cut closes the socket under the dialogue, which may be in the midst of a
// wait and hold its own lock.
func (conn *connection) cut() {
	if socket := conn.socket.Load(); socket != nil {
		_ = socket.Close()
	}
}
