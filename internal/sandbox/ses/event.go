package ses

import (
	"context"
	"encoding/json"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/novaura/acs-operator/internal/sandbox/outbox"
)

const (
	mostEvents     = 200_000 // that wait
	eventsAtOnce   = 16
	deliveredAfter = 1500 * time.Millisecond
	bouncedAfter   = time.Second
	complainedIn   = 3 * time.Second
	stamp          = "2006-01-02T15:04:05.000Z"
)

// The mailbox simulator's addresses
// (https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html),
// with labels (bounce+order42@…) and, so that a load can use them, at any
// domain.
const (
	bounces    = "bounce"
	complains  = "complaint"
	suppressed = "suppressionlist"
	outOfHome  = "ooto"
)

// schedule tells what becomes of a mail: a delivery, or what its recipient's
// name asks for.
func (s *Server) schedule(m outbox.Message, in sendEmail) {
	if s.options.OnEvent == nil {
		return
	}
	for to := range strings.SplitSeq(m.To, ", ") {
		switch e := s.event(m, in, to); nameOf(to) {
		case bounces:
			s.tell(bouncedAfter, m.ID, "bounced", e.bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown"))
		case suppressed:
			s.tell(bouncedAfter, m.ID, "bounced", e.bounce("Permanent", "OnAccountSuppressionList", "5.1.1", "Amazon SES did not send the message to this address because it is on the suppression list for your account."))
		case outOfHome:
			s.tell(deliveredAfter, m.ID, "delivered", e.delivery())
			s.tell(complainedIn, m.ID, "delivered", e.bounce("Transient", "General", "4.2.0", "smtp; out of office"))
		case complains:
			s.tell(deliveredAfter, m.ID, "delivered", e.delivery())
			s.tell(complainedIn, m.ID, "complained", e.complaint())
		default:
			s.tell(deliveredAfter, m.ID, "delivered", e.delivery())
		}
	}
}

// nameOf is what stands before @ or a label.
func nameOf(address string) string {
	if parsed, err := mail.ParseAddress(address); err == nil {
		address = parsed.Address
	}
	name, _, _ := strings.Cut(address, "@")
	name, _, _ = strings.Cut(name, "+")
	return strings.ToLower(name)
}

func (s *Server) tell(wait time.Duration, id, status string, event map[string]any) {
	s.later.After(wait, func(ctx context.Context) {
		s.SetStatus(id, status)
		if encoded, err := json.Marshal(event); err == nil {
			s.options.OnEvent(ctx, encoded)
		}
	})
}

// event is what all events of one mail at one recipient have in common.
type event struct {
	mail map[string]any
	to   string
}

// event is in the form of event publishing
// (https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html).
func (s *Server) event(m outbox.Message, in sendEmail, to string) event {
	tags := map[string][]string{
		"ses:source-ip": {"127.0.0.1"}, "ses:operation": {"SendEmail"}, "ses:configuration-set": {in.ConfigurationSetName},
	}
	for _, tag := range in.EmailTags {
		tags[tag.Name] = append(tags[tag.Name], tag.Value)
	}
	return event{to: to, mail: map[string]any{
		"timestamp": m.Created.Format(stamp), "messageId": m.ID, "source": m.From, "sendingAccountId": s.options.Account,
		"destination": strings.Split(m.To, ", "), "headersTruncated": false, "headers": []any{}, "tags": tags,
		"commonHeaders": map[string]any{"from": []string{m.From}, "to": []string{m.To}, "messageId": m.ID, "subject": m.Title},
	}}
}

func now() string { return time.Now().UTC().Format(stamp) }

func (e event) delivery() map[string]any {
	return map[string]any{"eventType": "Delivery", "mail": e.mail, "delivery": map[string]any{
		"timestamp": now(), "processingTimeMillis": deliveredAfter.Milliseconds(), "recipients": []string{e.to},
		"smtpResponse": "250 2.0.0 OK", "reportingMTA": "a8-50.smtp-out.amazonses.com",
	}}
}

func (e event) bounce(kind, sub, status, why string) map[string]any {
	return map[string]any{"eventType": "Bounce", "mail": e.mail, "bounce": map[string]any{
		"bounceType": kind, "bounceSubType": sub, "timestamp": now(), "feedbackId": uuid.NewString(),
		"reportingMTA":      "dns; a8-50.smtp-out.amazonses.com",
		"bouncedRecipients": []any{map[string]any{"emailAddress": e.to, "action": "failed", "status": status, "diagnosticCode": why}},
	}}
}

func (e event) complaint() map[string]any {
	return map[string]any{"eventType": "Complaint", "mail": e.mail, "complaint": map[string]any{
		"complainedRecipients": []any{map[string]any{"emailAddress": e.to}}, "timestamp": now(), "feedbackId": uuid.NewString(),
		"complaintFeedbackType": "abuse", "userAgent": "Amazon SES Mailbox Simulator", "arrivalDate": now(),
	}}
}

// Envelope is an event as SNS puts it on a queue
// (https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html).
func Envelope(topicARN string, event []byte) []byte {
	encoded, err := json.Marshal(map[string]any{
		"Type": "Notification", "MessageId": uuid.NewString(), "TopicArn": topicARN, "Subject": "Amazon SES Email Event Notification",
		"Message": string(event), "Timestamp": now(), "SignatureVersion": "1", "Signature": "c2FuZGJveA==",
		"SigningCertURL": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService.pem",
		"UnsubscribeURL": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=" + topicARN,
	})
	if err != nil {
		return nil // strings encode
	}
	return encoded
}
