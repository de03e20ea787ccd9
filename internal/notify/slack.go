package notify

import (
	"context"
	"strings"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
)

// slackText bounds what one message shows; Slack cuts at 40,000.
const slackText = 3000

// slackMessage is what an incoming webhook takes.
//
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
type slackMessage struct {
	Text        string            `json:"text"` // of the notification on a phone
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color     string `json:"color"`
	Title     string `json:"title"`
	TitleLink string `json:"title_link,omitempty"`
	Text      string `json:"text"`
	Fallback  string `json:"fallback"`
}

func (n *Notifier) slack(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	address, err := n.secret(r.Slack.WebhookURL)
	if err != nil {
		return nil, err
	}
	color := "good"
	if what.Firing() {
		color = "danger"
	}
	// What Slack would take for its own markup.
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")
	text := escape.Replace(short(written(what, ""), slackText))
	message := slackMessage{Text: title(what), Attachments: []slackAttachment{{
		Color: color, Title: title(what), TitleLink: n.options.PageURL, Text: text, Fallback: escape.Replace(texted(what)),
	}}}
	return func(ctx context.Context) error { return n.post(ctx, address, "", message) }, nil
}
