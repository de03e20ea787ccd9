package twilio

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"

	envelope "github.com/novaura/acs-operator/internal/message"
)

// How old a message is when it is sent on, and when the phone has it. Queued
// messages last long enough to be seen by a client that asks at once.
const (
	sentAfter      = 500 * time.Millisecond
	deliveredAfter = 2 * time.Second
)

// poolNumber is the sender that a messaging service picks.
const poolNumber = "+15005550006"

// A message is what was accepted. Nothing in it changes: its status follows
// from its age when it is read.
type message struct {
	sid, account, to, from, service, body string
	callback                              string // a URL, or nothing
	key                                   string // our own id, from the callback's query; empty: it names none

	segments int
	seq      uint64    // the order of acceptance; set by memory, as the next two
	created  time.Time // never before that of a lower seq
	doubled  bool      // its recipient has it twice: by key, or without one by to and body
}

func newMessage(account, to, from, service, body string) *message {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: it crashes the process instead
	m := &message{sid: "SM" + hex.EncodeToString(id[:]), account: account, to: to, from: from, service: service, body: body}
	m.segments = max(1, envelope.Segments(body)) // media alone is one
	if from == "" {
		m.from = poolNumber
	}
	return m
}

func (m *message) sentAt() time.Time { return m.created.Add(sentAfter) }

// sent tells whether the message has left Twilio's queue, and with it whether
// a messaging service has picked its sender.
func (m *message) sent(now time.Time) bool { return !now.Before(m.sentAt()) }

func (m *message) status(now time.Time) string {
	switch age := now.Sub(m.created); {
	case age >= deliveredAfter:
		return "delivered"
	case age >= sentAfter:
		return "sent"
	case m.service != "":
		return "accepted"
	default:
		return "queued"
	}
}

// updated is when the status last changed.
func (m *message) updated(now time.Time) time.Time {
	switch age := now.Sub(m.created); {
	case age >= deliveredAfter:
		return m.created.Add(deliveredAfter)
	case age >= sentAfter:
		return m.sentAt()
	default:
		return m.created
	}
}

// A resource is a message as the API shows it. Pointers are null where Twilio
// does not know yet.
type resource struct {
	AccountSID          string            `json:"account_sid"`
	APIVersion          string            `json:"api_version"`
	Body                string            `json:"body"`
	DateCreated         string            `json:"date_created"`
	DateSent            *string           `json:"date_sent"`
	DateUpdated         string            `json:"date_updated"`
	Direction           string            `json:"direction"`
	ErrorCode           *int              `json:"error_code"`
	ErrorMessage        *string           `json:"error_message"`
	From                *string           `json:"from"`
	MessagingServiceSID *string           `json:"messaging_service_sid"`
	NumMedia            string            `json:"num_media"`
	NumSegments         string            `json:"num_segments"`
	Price               *string           `json:"price"`
	PriceUnit           string            `json:"price_unit"`
	SID                 string            `json:"sid"`
	Status              string            `json:"status"`
	SubresourceURIs     map[string]string `json:"subresource_uris"`
	To                  string            `json:"to"`
	URI                 string            `json:"uri"`
}

func (m *message) resource(now time.Time) *resource {
	uri := apiRoot + m.account + "/Messages/" + m.sid
	r := &resource{
		AccountSID: m.account, APIVersion: "2010-04-01", Body: m.body, Direction: "outbound-api", To: m.to,
		DateCreated: rfc2822(m.created), DateUpdated: rfc2822(m.updated(now)), From: &m.from,
		NumMedia: "0", NumSegments: strconv.Itoa(m.segments), PriceUnit: "USD", SID: m.sid, Status: m.status(now),
		SubresourceURIs: map[string]string{"media": uri + "/Media.json"}, URI: uri + ".json",
	}
	if m.service != "" {
		r.MessagingServiceSID = &m.service
	}
	switch {
	case m.sent(now):
		date := rfc2822(m.sentAt())
		r.DateSent = &date
	case m.service != "": // no sender, hence no segments, is known yet
		r.From, r.NumSegments = nil, "0"
	}
	return r
}

// rfc2822 is a time as Twilio writes it: in GMT, to the second.
func rfc2822(t time.Time) string { return t.UTC().Format(time.RFC1123Z) }
