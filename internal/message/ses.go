package message

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/novaura/acs-operator/internal/redact"
)

// What a report on a mail says, as ProviderStatus; beside sent and delivered.
const (
	Bounced         = "bounced"      // refused for good
	SoftBounced     = "soft_bounced" // not delivered now: a full mailbox, a server away, or no reason given
	Complained      = "complained"   // the recipient called it spam
	NotSpam         = "not_spam"     // the recipient took that back
	Rejected        = "rejected"     // SES found a virus after it had taken the mail
	RenderingFailed = "rendering_failed"
)

// sesWords are SES's names of what happened
// (https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html)
// and the words that producers write by hand.
var sesWords = map[string]string{
	"send": "sent", "delivery": "delivered", "bounce": Bounced, "complaint": Complained, "reject": Rejected,
	"renderingfailure": RenderingFailed, "rendering failure": RenderingFailed, "deliverydelay": "delayed",
	"open": "opened", "click": "clicked",
}

// sesValidation is how SES tries out a topic that it is to publish to.
const sesValidation = "Successfully validated SNS topic"

func (f fields) isSES() bool {
	return f.get("mail") != nil && (f.get("eventType") != nil || f.get("notificationType") != nil)
}

// isBridged finds an event of SES's that came through EventBridge
// (https://docs.aws.amazon.com/ses/latest/dg/monitoring-eventbridge.html): as
// `detail` it has what the other ways bring bare.
func (f fields) isBridged() bool {
	return string(f.get("source")) == `"aws.ses"` && f.get("detail-type") != nil && f.get("detail") != nil
}

// isSNSSetup finds what SNS and SES send while they are set up.
func (f fields) isSNSSetup() bool {
	kind, notice := string(f.get("Type")), string(f.get("notificationType"))
	return (kind == `"SubscriptionConfirmation"` || kind == `"UnsubscribeConfirmation"`) && f.get("TopicArn") != nil ||
		notice == `"AmazonSnsSubscriptionSucceeded"`
}

// sesNotice is what SES publishes of a mail: the events of a configuration set
// and, with notificationType, the older notifications of an identity. Fields
// that are not here pass.
type sesNotice struct {
	EventType        string `json:"eventType"`
	NotificationType string `json:"notificationType"`
	Mail             struct {
		MessageID     string              `json:"messageId"`
		Timestamp     string              `json:"timestamp"`
		Source        redact.Personal     `json:"source"`
		Destination   []redact.Personal   `json:"destination"`
		Tags          map[string][]string `json:"tags"`
		Headers       []sesHeader         `json:"headers"`
		CommonHeaders struct {
			Subject redact.Personal `json:"subject"`
		} `json:"commonHeaders"`
	} `json:"mail"`
	Bounce struct {
		Type       string         `json:"bounceType"`
		SubType    string         `json:"bounceSubType"`
		Recipients []sesRecipient `json:"bouncedRecipients"`
		FeedbackID string         `json:"feedbackId"`
	} `json:"bounce"`
	Complaint struct {
		Type       string         `json:"complaintFeedbackType"`
		Recipients []sesRecipient `json:"complainedRecipients"`
		FeedbackID string         `json:"feedbackId"`
	} `json:"complaint"`
	Delivery struct {
		Recipients []redact.Personal `json:"recipients"`
		Timestamp  string            `json:"timestamp"`
	} `json:"delivery"`
	Delay struct {
		Type       string         `json:"delayType"`
		Recipients []sesRecipient `json:"delayedRecipients"`
		Timestamp  string         `json:"timestamp"`
	} `json:"deliveryDelay"`
	Open, Click struct {
		Timestamp string `json:"timestamp"`
	}
}

type sesRecipient struct {
	Address redact.Personal `json:"emailAddress"`
}

type sesHeader struct {
	Name  string          `json:"name"`
	Value redact.Personal `json:"value"`
}

// ses reads a notice of SES's.
func (p *parser) ses(body []byte) *Invalid {
	var n sesNotice
	if json.Unmarshal(body, &n) != nil {
		return invalidf(BadField, "a notification of SES's with a field of another type than SES writes")
	}
	m, kind := p.known, strings.ToLower(first(n.EventType, n.NotificationType))
	m.Channel, m.ProviderID, m.EventID = Email, n.Mail.MessageID, n.eventID()
	if kind == "received" {
		m.Type, m.From, m.Subject = Received, n.Mail.Source, n.Mail.CommonHeaders.Subject
		if len(n.Mail.Destination) > 0 {
			m.To = n.Mail.Destination[0]
		}
		m.EventID, p.ownID = "", m.ProviderID
		return nil
	}
	m.Type, m.From = Status, n.Mail.Source
	m.ProviderStatus = first(sesWords[kind], kind)
	when := n.detail(m)
	if len(m.Recipients) == 1 {
		m.To = m.Recipients[0]
	}
	p.ownID = m.ProviderID + "/" + m.ProviderStatus + "/" + when // SNS repeats itself, and one mail has many reports
	return nil
}

// detail reads what the kinds of notices have of their own, and returns what
// tells two of one kind on one mail apart.
func (n *sesNotice) detail(m *Message) (when string) {
	switch m.ProviderStatus {
	case Bounced:
		m.Recipients, m.ProviderCode = addresses(n.Bounce.Recipients), word(n.Bounce.Type, n.Bounce.SubType)
		return n.Bounce.FeedbackID
	case Complained:
		m.Recipients, m.ProviderCode = addresses(n.Complaint.Recipients), n.Complaint.Type
		return n.Complaint.FeedbackID
	case "delivered":
		m.Recipients = n.Delivery.Recipients
		return n.Delivery.Timestamp
	case "delayed":
		m.Recipients, m.ProviderCode = addresses(n.Delay.Recipients), n.Delay.Type
		return n.Delay.Timestamp
	case "opened":
		return n.Open.Timestamp
	case "clicked":
		return n.Click.Timestamp
	}
	m.Recipients = n.Mail.Destination
	return n.Mail.Timestamp
}

// The tags that carry our id to SES's events: as it is, and in base64url where
// SES does not take its characters.
const (
	Tag        = "acs_id"
	EncodedTag = "acs_id_base64url"
)

// eventID is our own id, which the sender gave SES as a tag, or, through SES's
// SMTP door, as a header.
func (n *sesNotice) eventID() string {
	if tag := n.Mail.Tags[Tag]; len(tag) > 0 {
		return tag[0]
	}
	if tag := n.Mail.Tags[EncodedTag]; len(tag) > 0 {
		if id, err := base64.RawURLEncoding.DecodeString(tag[0]); err == nil && usableID(string(id)) {
			return string(id)
		}
	}
	for _, header := range n.Mail.Headers {
		if strings.EqualFold(header.Name, "X-ACS-ID") {
			return header.Value.Reveal()
		}
	}
	return ""
}

func addresses(recipients []sesRecipient) (list []redact.Personal) {
	for _, one := range recipients {
		list = append(list, one.Address)
	}
	return list
}

// word is a code made of a kind and its sort: Permanent/Suppressed.
func word(kind, sort string) string { return strings.TrimSuffix(kind+"/"+sort, "/") }

// normalizeReport brings a report on a mail into our words, whoever wrote it,
// and names whom it is about.
func (m *Message) normalizeReport() {
	m.ProviderStatus = first(sesWords[m.ProviderStatus], m.ProviderStatus)
	code := strings.ToLower(m.ProviderCode)
	switch {
	case m.ProviderStatus == Bounced && (strings.HasPrefix(code, "transient") || strings.HasPrefix(code, "undetermined")):
		m.ProviderStatus = SoftBounced
	case m.ProviderStatus == Complained && code == "not-spam":
		m.ProviderStatus = NotSpam
	}
	if len(m.Recipients) == 0 && m.To != "" {
		m.Recipients = []redact.Personal{m.To}
	}
}
