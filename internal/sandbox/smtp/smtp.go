// Package smtp is a mail server that delivers nowhere: it shows what people
// would have received, and replies at each stage as it is told to.
//
// It imports behavior and outbox. Start with Server.
package smtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// Stage is a moment of the dialogue.
type Stage string

// The stages that a reply can be set for.
const (
	Mail Stage = "mail" // MAIL FROM
	Rcpt Stage = "rcpt" // RCPT TO
	Data Stage = "data" // after the content
)

// Options are what a Server is started with.
type Options struct {
	Latency time.Duration // the first Behavior's, once a mail
}

// Server is the mail server, and the outbox of its mails.
type Server struct {
	*outbox.Box

	server  *smtp.Server
	mu      sync.Mutex
	replies map[Stage]*smtp.SMTPError
}

const maxMessage = 40 << 20

// New returns a Server that takes everything.
func New(o Options) *Server {
	s := &Server{Box: outbox.NewBox(provider(), "email", behavior.Behavior{Latency: o.Latency}), replies: map[Stage]*smtp.SMTPError{}}
	s.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &session{server: s, conn: c}, nil }))
	s.server.Domain = "localhost"
	s.server.MaxMessageBytes = maxMessage
	s.server.MaxRecipients = 100
	s.server.EnableSMTPUTF8 = true
	s.server.ReadTimeout, s.server.WriteTimeout = 5*time.Minute, time.Minute
	s.server.ErrorLog = silent{}
	return s
}

// silent says nothing: a client that leaves is no news, and lines have
// addresses.
type silent struct{}

func (silent) Printf(string, ...any) {}

func (silent) Println(...any) {}

// Serve answers on listener until Close.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.server.Serve(listener); !errors.Is(err, smtp.ErrServerClosed) {
		return err
	}
	return nil
}

// Close ends Serve and every connection.
func (s *Server) Close() error { return s.server.Close() }

// Reply has a stage answered by a reply such as "550 5.1.1 no such user", or,
// empty, as it should be. "421" closes the connection after it.
func (s *Server) Reply(stage Stage, reply string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply == "" {
		delete(s.replies, stage)
		return nil
	}
	parsed, err := parseReply(reply)
	if err == nil {
		s.replies[stage] = parsed
	}
	return err
}

func parseReply(reply string) (*smtp.SMTPError, error) {
	code, words, _ := strings.Cut(reply, " ")
	number, err := strconv.Atoi(code)
	if err != nil || number < 400 || number > 599 {
		return nil, errors.New("a reply begins with a code from 400 to 599")
	}
	parsed := &smtp.SMTPError{Code: number, EnhancedCode: smtp.NoEnhancedCode, Message: words}
	first, rest, _ := strings.Cut(words, " ")
	var enhanced smtp.EnhancedCode
	if parts := strings.Split(first, "."); len(parts) == len(enhanced) {
		for i, part := range parts {
			if enhanced[i], err = strconv.Atoi(part); err != nil {
				return parsed, nil
			}
		}
		parsed.EnhancedCode, parsed.Message = enhanced, rest
	}
	return parsed, nil
}

// answer is what a stage is to be answered by; nil: it goes on.
func (s *Server) answer(stage Stage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reply := s.replies[stage]; reply != nil {
		s.Refuse()
		return reply
	}
	return nil
}

// session is one connection.
type session struct {
	server *Server
	conn   *smtp.Conn
	from   string
	to     []string
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session: the rate limit and the faults come first.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.server.Control().Allow() {
		s.server.Refuse()
		return &smtp.SMTPError{Code: 454, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Throttling failure: Maximum sending rate exceeded."}
	}
	if reply := replyTo(s.server.Control().Fault()); reply != nil {
		s.server.Refuse()
		return reply
	}
	s.from = from
	return s.server.answer(Mail)
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return s.server.answer(Rcpt)
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_ = s.server.Control().Wait(context.Background()) // a connection waits; it has no context
	if err := s.server.answer(Data); err != nil {
		return err
	}
	m := outbox.Message{To: strings.Join(s.to, ", "), From: s.from, Status: "delivered"}
	if err := m.ReadMIME(bytes.NewReader(raw)); err != nil {
		s.server.Refuse()
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "This is not a mail"}
	}
	if parsed, err := mail.ReadMessage(bytes.NewReader(raw)); err == nil {
		m.ID = strings.Trim(parsed.Header.Get("Message-Id"), "<>")
		m.Key = m.ID
	}
	s.server.Accept(m)
	if s.server.Control().LosesAnswer() {
		_ = s.conn.Close()
		return errors.New("the answer got lost")
	}
	return nil
}
