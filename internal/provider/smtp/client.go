// Package smtp sends mails through any SMTP server. The stage of the dialogue
// decides what an error means: before the end of DATA nothing was accepted,
// and what breaks there is in doubt.
//
// It imports provider, mail, message and redact. Start with Client.Send; the
// classes of refusals are in errors.go.
package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/mail"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "smtp"

// DefaultTimeout is how long one mail may take, from dialling to the answer.
const DefaultTimeout = 25 * time.Second

// Config is what a Client needs to know.
type Config struct {
	// URL is SMTP_URL: smtp://user:password@host:587 (STARTTLS where it is
	// offered, and always with a password) or smtps://…:465 (TLS from the start).
	URL         redact.Secret
	From        string        // EMAIL_FROM: the sender of messages that name none
	Attachments mail.Fetcher  // nil: messages with attachments are refused
	Timeout     time.Duration // of one mail; 0: DefaultTimeout
}

// Client is a provider.Sender. It is safe for concurrent use, and keeps
// connections for the next mail until Close.
type Client struct {
	server   server
	composer mail.Composer
	timeout  time.Duration
	idle     chan *connection
}

var _ provider.Sender = (*Client)(nil)

// server is what SMTP_URL says.
type server struct {
	host           string
	port           int
	tls            bool // from the start
	user, password string
}

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.URL == "" {
		return nil, errors.New("smtp: the server is missing: set SMTP_URL, such as smtp://user:password@mail.example.com:587")
	}
	server, err := parseServer(c.URL)
	if err != nil {
		return nil, err
	}
	composer := mail.Composer{Provider: Name, From: c.From, Fetcher: c.Attachments}
	if err := composer.Check(); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return &Client{server: server, composer: composer, timeout: c.Timeout, idle: make(chan *connection, maxIdle)}, nil
}

// parseServer never quotes the URL: it has the password.
func parseServer(text redact.Secret) (server, error) {
	parsed, err := url.Parse(text.Reveal())
	if err != nil || parsed.Hostname() == "" || parsed.Scheme != "smtp" && parsed.Scheme != "smtps" {
		return server{}, errors.New("smtp: SMTP_URL is not one: write smtp://user:password@host:587 or smtps://user:password@host:465, with @ and / in the password as %40 and %2F")
	}
	s := server{host: parsed.Hostname(), port: 587, tls: parsed.Scheme == "smtps", user: parsed.User.Username()}
	s.password, _ = parsed.User.Password()
	if s.tls {
		s.port = 465
	}
	if parsed.Port() != "" {
		if s.port, err = strconv.Atoi(parsed.Port()); err != nil {
			return server{}, errors.New("smtp: the port of SMTP_URL is not one")
		}
	}
	return s, nil
}

func (s server) address() string { return net.JoinHostPort(s.host, strconv.Itoa(s.port)) }

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one mail, on a connection that waits or a
// new one. A connection that has gone while it waited is replaced: nothing was
// said on it yet.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	composed, err := c.composer.Compose(ctx, m)
	if err != nil {
		return provider.Receipt{}, err
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return provider.Receipt{}, refusedConnection(err)
	}
	err = conn.send(ctx, composed)
	if healthy(err) {
		c.keep(conn)
	} else {
		conn.cut() // not QUIT: after half a DATA it would end the mail, and have it accepted
	}
	if err != nil && !accepted(err) {
		return provider.Receipt{}, classify(err, m)
	}
	return provider.Receipt{ID: strings.Trim(composed.GetMessageID(), "<>"), Status: "accepted"}, nil
}

// Find implements provider.Sender: a server cannot be asked. The error names what
// a person can look for in the server's log.
func (c *Client) Find(_ context.Context, m *message.Message, _ time.Time) ([]provider.Receipt, error) {
	if id := c.composer.MessageID(m); id != "" {
		return nil, fmt.Errorf("%w: look in the server's log for Message-ID <%s>", provider.ErrNoLookup, id)
	}
	return nil, provider.ErrNoLookup
}

// Close ends the connections that wait for the next mail. No Send may follow.
func (c *Client) Close() error {
	for {
		select {
		case conn := <-c.idle:
			conn.cut()
		default:
			return nil
		}
	}
}

// accepted: the mail was taken, and only what came after it failed.
func accepted(err error) bool {
	failed := (*gomail.SendError)(nil)
	return errors.As(err, &failed) && failed.Reason == gomail.ErrSMTPReset
}

// healthy: the connection can take the next mail. A refusal of MAIL or RCPT
// has been followed by RSET.
func healthy(err error) bool {
	failed := (*gomail.SendError)(nil)
	if err == nil {
		return true
	}
	if !errors.As(err, &failed) || failed.ErrorCode() == 0 || failed.ErrorCode() == 421 {
		return false
	}
	return failed.Reason == gomail.ErrSMTPMailFrom || failed.Reason == gomail.ErrSMTPRcptTo
}
