package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
)

// A stageClass says what an error of one stage of the dialogue means, by the
// kind of the server's reply.
type stageClass struct {
	text   string         // what the server was asked
	never  provider.Class // 5xx
	later  provider.Class // 4xx
	silent provider.Class // no reply
}

// stages are the stages of RFC 5321's dialogue. Only the end of DATA is where
// a mail is accepted (4.2.5), so only there a missing reply leaves doubt.
var stages = map[gomail.SendErrReason]stageClass{
	gomail.ErrGetSender:    {"the sender", provider.Permanent, provider.Permanent, provider.Permanent},
	gomail.ErrGetRcpts:     {"the recipients", provider.Permanent, provider.Permanent, provider.Permanent},
	gomail.ErrConnCheck:    {"the connection", provider.Transient, provider.Transient, provider.Transient},
	gomail.ErrNoUnencoded:  {"8BITMIME", provider.Permanent, provider.Permanent, provider.Permanent},
	gomail.ErrSMTPMailFrom: {"MAIL FROM", provider.Permanent, provider.Transient, provider.Transient},
	gomail.ErrSMTPRcptTo:   {"RCPT TO", provider.Permanent, provider.Transient, provider.Transient},
	gomail.ErrSMTPData:     {"DATA", provider.Permanent, provider.Transient, provider.Transient},
	gomail.ErrWriteContent: {"the content", provider.Transient, provider.Transient, provider.Transient},
	gomail.ErrSMTPDataClose: {
		"the end of DATA", provider.Permanent, provider.Transient, provider.InDoubt,
	},
}

// deadMailboxes are the enhanced codes (RFC 3463) that say that a mailbox is
// not there and will not be.
var deadMailboxes = map[string]bool{"5.1.1": true, "5.1.6": true, "5.1.10": true, "5.2.1": true}

// recipientWait is the shortest wait for a recipient that was put off: a greylist
// does so for some minutes (RFC 6647), and each earlier try would be in vain.
const recipientWait = time.Minute

// classify types an error of a send. The server's words are not kept: they
// quote addresses.
func classify(err error, m *message.Message) *provider.Error {
	failed := (*gomail.SendError)(nil)
	if !errors.As(err, &failed) {
		return &provider.Error{Provider: Name, Class: provider.InDoubt, Message: "the mail was cut off"}
	}
	stage, known := stages[failed.Reason]
	if !known {
		return &provider.Error{Provider: Name, Class: provider.InDoubt, Message: "the mail was cut off"}
	}
	code, enhanced := failed.ErrorCode(), failed.EnhancedStatusCode()
	refused := &provider.Error{Provider: Name, Code: codeOf(code, enhanced), Message: stage.text + " got no reply", Class: stage.silent}
	switch code / 100 {
	case 4:
		refused.Class, refused.Message = stage.later, stage.text+" was put off"
		refused.Away = refused.Class == provider.Transient && away(code, enhanced, failed.Reason == gomail.ErrSMTPMailFrom && m.From == "")
		if failed.Reason == gomail.ErrSMTPRcptTo {
			refused.RetryAfter = recipientWait
		}
	case 5:
		refused.Class, refused.Message = stage.never, stage.text+" was refused"
	}
	switch {
	case code == 454 || code == 421 && strings.HasPrefix(enhanced, "4.7."):
		refused.Class, refused.Away = provider.Throttled, false // SES's word for its sending rate is 454
	case code == 530 || code == 535:
		refused.Class, refused.Credentials = provider.Config, true
	case failed.Reason == gomail.ErrSMTPMailFrom && code/100 == 5 && m.From == "":
		refused.Class, refused.Message = provider.Config, "the server does not take our sender: check EMAIL_FROM"
	case failed.Reason == gomail.ErrSMTPRcptTo && deadMailboxes[enhanced] && len(m.Cc)+len(m.Bcc) == 0:
		refused.Class, refused.Message = provider.Suppress, "the recipient's mailbox does not exist"
	}
	return refused
}

// away says that a server which puts a mail off does so with all: it shuts down
// (421), its disk is full or it takes no mails (RFC 3463, X.3.1 and X.3.2), or it
// puts off the sender that all have, before it has heard of anything else.
func away(code int, enhanced string, ownSender bool) bool {
	return code == 421 || enhanced == "4.3.1" || enhanced == "4.3.2" || ownSender
}

func codeOf(code int, enhanced string) string {
	if code == 0 {
		return ""
	}
	return strings.TrimSpace(strconv.Itoa(code) + " " + enhanced)
}

// refusedConnection types an error from before a mail: nothing was sent.
func refusedConnection(err error) *provider.Error {
	refused := &provider.Error{Provider: Name, Class: provider.Config, Message: "the server cannot be used as SMTP_URL says: it offers no TLS, or none of our ways to sign in"}
	var (
		reply       *textproto.Error
		network     net.Error
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
		notTLS      tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &reply):
		refused.Code = strconv.Itoa(reply.Code)
		refused.Credentials = reply.Code/10 == 53 // RFC 4954, 6: 530, 534, 535 and 538
		refused.Message = "the server refuses us: check the user and password of SMTP_URL"
		if reply.Code/100 == 4 {
			refused.Class, refused.Away, refused.Message = provider.Transient, true, "the server does not take mails now"
		}
		if reply.Code == 454 {
			refused.Class, refused.Away = provider.Throttled, false
		}
	case errors.As(err, &certificate), errors.As(err, &unknown), errors.As(err, &notTLS):
		refused.Message = "the server's TLS is not to be trusted: check the host and port of SMTP_URL"
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		refused.Class, refused.Away, refused.Message = provider.Transient, true, "the server cannot be reached"
		if network != nil { // else it says no more than that it ended
			refused.Err = network
		}
	}
	return refused
}
