package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/mail"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/smtp"
)

const person = "anna@example.com"

func letter() *message.Message {
	return &message.Message{ID: "a", Channel: message.Email, Type: message.Send, To: person, Subject: "Grüße", Body: "Your code is 1234", HTML: "<p>1234</p>"}
}

func stand(t *testing.T) (*sandbox.Server, string) {
	t.Helper()
	server := sandbox.New(sandbox.Options{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server, listener.Addr().String()
}

func open(t *testing.T, address string) *Client {
	t.Helper()
	client, err := New(Config{URL: redact.Secret("smtp://" + address), From: "Novaura <hello@example.com>", Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestAStoryWithAMailServer(t *testing.T) {
	t.Parallel()
	server, address := stand(t)
	client := open(t, address)
	receipt, err := client.Send(t.Context(), letter())
	if err != nil || receipt.ID != mail.MessageID("a", "hello@example.com") {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	got := server.Recent(1)[0]
	if got.To != person || got.From != "hello@example.com" || got.Title != "Grüße" || got.Body != "Your code is 1234" || got.Key != receipt.ID {
		t.Errorf("got %+v", got)
	}
	server.Control().Set(behavior.Behavior{LostAnswerRate: 1})
	_, err = client.Send(t.Context(), letter())
	providertest.Check(t, err, provider.InDoubt, person, "1234")
	if _, err = client.Find(t.Context(), letter(), time.Now()); !errors.Is(err, provider.ErrNoLookup) || !strings.Contains(err.Error(), "<"+receipt.ID+">") {
		t.Errorf("got %v, want the Message-ID to look for", err)
	}
	if got := server.Totals(); got.Accepted != 2 || got.Doubled != 1 {
		t.Errorf("got %+v: the same mail again has the same Message-ID", got)
	}
	server.Control().Set(behavior.Behavior{RateLimit: 0.0001})
	_, _ = client.Send(t.Context(), letter())
	_, err = client.Send(t.Context(), letter())
	providertest.Check(t, err, provider.Throttled, person)
	server.Control().Set(behavior.Behavior{})
	if _, err := client.Send(t.Context(), letter()); err != nil {
		t.Errorf("after the faults: %v", err)
	}
}

func TestTheStageOfTheDialogueDecides(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		stage sandbox.Stage
		reply string
		want  provider.Class
		away  bool
	}{
		"our sender that is refused is our set-up's":        {sandbox.Mail, "550 5.7.1 <hello@example.com> sender rejected", provider.Config, false},
		"a busy server is transient":                        {sandbox.Mail, "451 4.3.0 try later", provider.Transient, true},
		"a rate that is exceeded is throttled":              {sandbox.Mail, "454 4.7.0 Throttling failure", provider.Throttled, false},
		"a server that wants a password is our set-up's":    {sandbox.Mail, "530 5.7.0 Authentication required", provider.Config, false},
		"a mailbox that does not exist is suppressed":       {sandbox.Rcpt, "550 5.1.1 <anna@example.com> no such user", provider.Suppress, false},
		"a mailbox that is full is transient":               {sandbox.Rcpt, "452 4.2.2 mailbox full", provider.Transient, false},
		"another refusal of the recipient is permanent":     {sandbox.Rcpt, "550 5.7.1 not here", provider.Permanent, false},
		"a refusal without an enhanced code is permanent":   {sandbox.Rcpt, "550 no", provider.Permanent, false},
		"content that is refused after DATA is permanent":   {sandbox.Data, "554 5.6.0 looks like spam", provider.Permanent, false},
		"a mail that is put off after DATA is transient":    {sandbox.Data, "451 4.3.0 try later", provider.Transient, false},
		"a server that says goodbye instead is away":        {sandbox.Data, "421 4.3.2 shutting down", provider.Transient, true},
		"a server whose disk is full is away":               {sandbox.Data, "452 4.3.1 disk full", provider.Transient, true},
		"a greylisted recipient is transient":               {sandbox.Rcpt, "450 4.7.1 greylisted", provider.Transient, false},
		"one that a server closes on for load is throttled": {sandbox.Mail, "421 4.7.0 too many", provider.Throttled, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, address := stand(t)
			if err := server.Reply(tc.stage, tc.reply); err != nil {
				t.Fatal(err)
			}
			client := open(t, address)
			_, err := client.Send(t.Context(), letter())
			providertest.Check(t, err, tc.want, person, "1234")
			if got := provider.AsError(err).Credentials; got != strings.Contains(name, "password") {
				t.Errorf("credentials refused: %t", got)
			}
			if got := provider.AsError(err).Away; got != tc.away {
				t.Errorf("away: %t", got)
			}
			// A greylist takes nobody for some minutes.
			if wait := provider.AsError(err).RetryAfter; (wait >= time.Minute) != (tc.stage == sandbox.Rcpt && tc.want == provider.Transient) {
				t.Errorf("it may be tried again after %v", wait)
			}
			if err := server.Reply(tc.stage, ""); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Send(t.Context(), letter()); err != nil {
				t.Errorf("the mail after it: %v", err)
			}
		})
	}
}

// script is a server that says its lines, one for each command, and closes
// when it has no more. "DATA" waits for the end of the content.
func script(t *testing.T, lines ...string) (address string, commands func() []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu   sync.Mutex
		seen []string
	)
	done, stalled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, line := range lines {
			if line == "hang" {
				_, _ = in.ReadString(0)
				return
			}
			_, _ = fmt.Fprint(conn, line+"\r\n")
			if strings.HasSuffix(line, "stall") { // and read no more
				<-stalled
				return
			}
			for {
				command, err := in.ReadString('\n')
				if err != nil {
					return
				}
				mu.Lock()
				seen = append(seen, strings.TrimSpace(command))
				mu.Unlock()
				if !strings.HasPrefix(line, "354") || command == ".\r\n" {
					break
				}
			}
		}
	}()
	t.Cleanup(func() { close(stalled); _ = listener.Close(); <-done })
	return listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

func TestAServerThatBreaksOff(t *testing.T) {
	t.Parallel()
	const hello, ok, data = "220 here", "250 fine", "354 go on"
	for name, tc := range map[string]struct {
		lines []string
		want  provider.Class
	}{
		"at once is transient":                       {nil, provider.Transient},
		"after the greeting is transient":            {[]string{hello}, provider.Transient},
		"after MAIL is transient":                    {[]string{hello, ok, ok}, provider.Transient},
		"after RCPT is transient":                    {[]string{hello, ok, ok, ok}, provider.Transient},
		"after the whole content is in doubt":        {[]string{hello, ok, ok, ok, data}, provider.InDoubt},
		"and hangs after the greeting is transient":  {[]string{"hang"}, provider.Transient},
		"and hangs after the content is in doubt":    {[]string{hello, ok, ok, ok, data, "hang"}, provider.InDoubt},
		"with a greeting of its own is our set-up's": {[]string{"554 go away"}, provider.Config},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := script(t, tc.lines...)
			client := open(t, address)
			client.timeout = 300 * time.Millisecond
			_, err := client.Send(t.Context(), letter())
			providertest.Check(t, err, tc.want, person, "1234")
		})
	}
}

func TestAMailThatIsCutOffInItsContentIsNotEndedByUs(t *testing.T) {
	t.Parallel()
	// The server stops reading in the midst of the content: no QUIT may
	// follow, since it would end the half mail, and have it accepted.
	address, commands := script(t, "220 here", "250 fine", "250 fine", "250 fine", "354 and stall")
	client := open(t, address)
	client.timeout = 500 * time.Millisecond
	m := letter()
	m.Body = redact.Personal(strings.Repeat("x", 16<<20))
	_, err := client.Send(t.Context(), m)
	providertest.Check(t, err, provider.Transient, person)
	for _, command := range commands() {
		if command == "." || command == "QUIT" {
			t.Errorf("the half mail was ended by %q", command)
		}
	}
}

func TestConnectionsAreReusedAndReplaced(t *testing.T) {
	t.Parallel()
	server, address := stand(t)
	client := open(t, address)
	for range 3 {
		if _, err := client.Send(t.Context(), letter()); err != nil {
			t.Fatal(err)
		}
	}
	if len(client.idle) != 1 {
		t.Fatalf("%d connections wait, want one", len(client.idle))
	}
	conn := <-client.idle
	conn.cut() // as a server does that is tired of waiting
	client.keep(conn)
	if _, err := client.Send(t.Context(), letter()); err != nil || server.Totals().Accepted != 4 {
		t.Errorf("after the connection had gone: %v, %+v", err, server.Totals())
	}
}

func TestNewNamesWhatIsWrongAndQuotesNoPassword(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]Config{
		"SMTP_URL to":       {},
		"is not one: write": {URL: "http://user:s3cr3t@host"},
		"with @ and / in":   {URL: "smtp://user:s3cr3t@%zz"},
		"EMAIL_FROM":        {URL: "smtp://host", From: "nobody"},
	} {
		_, err := New(c)
		if want == "SMTP_URL to" {
			want = "SMTP_URL"
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("got %v, want %q named", err, want)
		}
	}
	got, err := parseServer("smtps://user:p%40ss@mail.example.com")
	if err != nil || got != (server{host: "mail.example.com", port: 465, tls: true, user: "user", password: "p@ss"}) {
		t.Errorf("got %v, %v", got.host, err)
	}
}
