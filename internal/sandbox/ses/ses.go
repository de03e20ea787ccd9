// Package ses stands in for Amazon SES, API version 2, on one machine:
// SendEmail and GetAccount as
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/ has them, the
// simulator's addresses, events, and faults on request.
//
// It imports awswire, behavior, outbox and later. Start with Server; event.go is what
// SES tells afterwards.
package ses

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/later"
	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

// Options are what a Server is started with.
type Options struct {
	Account, Region string
	Latency         time.Duration // the first Behavior's
	// OnEvent is told each event of each mail, as SES publishes it to SNS. It
	// is called while Run runs. nil: nobody listens.
	OnEvent func(ctx context.Context, event []byte)
}

// Server is SES as an http.Handler, and the outbox of its mails.
type Server struct {
	*outbox.Box

	options Options
	mux     *http.ServeMux
	later   *later.Queue
}

var _ http.Handler = (*Server)(nil)

// maxBody is SES's bound of a message, in base64.
const maxBody = 56 << 20

// New returns a Server that behaves well.
func New(o Options) *Server {
	s := &Server{
		Box: outbox.NewBox(provider(), "email", behavior.Behavior{Latency: o.Latency}), options: o,
		mux: http.NewServeMux(), later: later.New(mostEvents),
	}
	s.mux.HandleFunc("POST /v2/email/outbound-emails", s.send)
	s.mux.HandleFunc("GET /v2/email/account", s.account)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "UnknownOperationException", "of SES the sandbox serves SendEmail and GetAccount only")
	})
	return s
}

// Run tells the events of mails until ctx ends.
func (s *Server) Run(ctx context.Context) { s.later.Run(ctx, eventsAtOnce) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// sendEmail is the body of SendEmail, as much of it as is looked at.
type sendEmail struct {
	FromEmailAddress     string
	ConfigurationSetName string
	Destination          struct{ ToAddresses, CcAddresses, BccAddresses []string }
	Content              struct {
		Simple *struct {
			Subject struct{ Data string }
			Body    struct{ Text, Html *struct{ Data string } }
		}
		Raw *struct{ Data []byte }
	}
	EmailTags []struct{ Name, Value string }
}

func (s *Server) send(w http.ResponseWriter, r *http.Request) {
	if s.Control().Wait(r.Context()) != nil {
		return
	}
	if !s.Control().Allow() {
		s.refuse(w, http.StatusTooManyRequests, "TooManyRequestsException", "Maximum sending rate exceeded.")
		return
	}
	if s.fail(w, s.Control().Fault()) {
		return
	}
	var in sendEmail
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || json.Unmarshal(body, &in) != nil {
		s.refuse(w, http.StatusBadRequest, "BadRequestException", "The request is not valid.")
		return
	}
	m, why := in.message()
	if why != "" {
		s.refuse(w, http.StatusBadRequest, "BadRequestException", why)
		return
	}
	m.ID = "0100" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12] + "-" + uuid.NewString() + "-000000"
	m.Status = "sent"
	s.schedule(s.Accept(m), in)
	s.Control().LoseAnswer()
	writeJSON(w, http.StatusOK, map[string]string{"MessageId": m.ID})
}

// message checks what SES checks.
func (in sendEmail) message() (m outbox.Message, why string) {
	recipients := append(append(append([]string{}, in.Destination.ToAddresses...), in.Destination.CcAddresses...), in.Destination.BccAddresses...)
	const mostRecipients = 50
	switch {
	case len(recipients) == 0:
		return m, "Missing final '@domain': no recipient."
	case len(recipients) > mostRecipients:
		return m, "Recipient count exceeds 50."
	case in.FromEmailAddress == "":
		return m, "Missing required header 'From'."
	}
	for _, address := range append(recipients, in.FromEmailAddress) {
		if _, err := mail.ParseAddress(address); err != nil {
			return m, "Illegal address: " + address // SES quotes it: a client must not rely on an error to be free of personal data
		}
	}
	m = outbox.Message{To: strings.Join(recipients, ", "), From: in.FromEmailAddress}
	for _, tag := range in.EmailTags {
		if tag.Name == "acs_id" {
			m.Key = tag.Value
		}
	}
	switch simple, raw := in.Content.Simple, in.Content.Raw; {
	case simple != nil:
		m.Title = simple.Subject.Data
		if simple.Body.Html != nil {
			m.Body = simple.Body.Html.Data
		}
		if simple.Body.Text != nil {
			m.Body = simple.Body.Text.Data
		}
	case raw != nil:
		if err := m.ReadMIME(strings.NewReader(string(raw.Data))); err != nil {
			return m, "The raw message is not MIME."
		}
	default:
		return m, "One of Simple, Raw or Template is required."
	}
	return m, ""
}

// account is GetAccount: the quota follows the Behavior.
func (s *Server) account(w http.ResponseWriter, _ *http.Request) {
	rate := s.Control().Get().RateLimit
	if rate == 0 {
		rate = 10_000
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"DedicatedIpAutoWarmupEnabled": false, "EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": true, "SendingEnabled": true,
		"SendQuota": map[string]float64{"Max24HourSend": rate * 24 * 60 * 60, "MaxSendRate": rate, "SentLast24Hours": float64(s.Totals().Accepted)},
	})
}

func (s *Server) refuse(w http.ResponseWriter, status int, code, words string) {
	s.Refuse()
	refuse(w, status, code, words)
}

// Refuse answers a request with err.
func Refuse(w http.ResponseWriter, err error) {
	typed := awswire.AsError(err)
	refuse(w, typed.HTTPStatus(), typed.Code, typed.Message)
}

// refuse answers as the REST-JSON protocol does: the code in a header.
func refuse(w http.ResponseWriter, status int, code, words string) {
	w.Header().Set("X-Amzn-Errortype", code)
	writeJSON(w, status, map[string]string{"message": words})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain values encode; a client that has gone cannot be told
}
