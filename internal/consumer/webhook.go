package consumer

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/novaura/acs-operator/internal/attribute"
)

// The message attributes with which an HTTP gateway marks what anyone may have
// posted to it (terraform/webhooks.tf). Who posts can fill them and cannot
// leave them out. Copies carry them on, so that a post stays one.
const (
	WebhookURL       = "acs_webhook_url"       // to which it was posted, without the query
	WebhookEvent     = "acs_webhook_event"     // the value of the query's acs_id
	WebhookSignature = "acs_webhook_signature" // the header in which the provider signs
)

// attributeNames are asked for one by one beside all others, which a dead letter
// keeps: a mark that did not arrive would turn a post into a word of our own.
var attributeNames = []string{attribute.Key, WebhookURL, WebhookEvent, WebhookSignature, "All"}

// A Webhook is how a message came that was posted to an HTTP gateway.
type Webhook struct {
	URL, Event, Signature string
}

// webhookOf is nil for a message that its sender put on the queue itself.
func webhookOf(attributes attribute.Set) *Webhook {
	text := func(name string) (string, bool) {
		value, marked := attributes[name]
		return aws.ToString(value.StringValue), marked
	}
	address, one := text(WebhookURL)
	event, two := text(WebhookEvent)
	signature, three := text(WebhookSignature)
	if !one && !two && !three {
		return nil
	}
	return &Webhook{URL: address, Event: event, Signature: signature}
}
