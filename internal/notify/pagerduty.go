package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
)

const pagerDutyURL = "https://events.pagerduty.com/v2/enqueue"

// pagerDutyEvent is an event of the Events API v2.
//
// https://developer.pagerduty.com/docs/send-alert-event
type pagerDutyEvent struct {
	RoutingKey  string            `json:"routing_key"`
	EventAction string            `json:"event_action"` // trigger, resolve
	DedupKey    string            `json:"dedup_key"`    // one incident a group
	Client      string            `json:"client"`
	ClientURL   string            `json:"client_url,omitempty"`
	Links       []pagerDutyLink   `json:"links,omitempty"`
	Payload     *pagerDutyPayload `json:"payload,omitempty"`
}

type pagerDutyLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

type pagerDutyPayload struct {
	Summary       string         `json:"summary"` // at most 1024 characters
	Source        string         `json:"source"`
	Severity      string         `json:"severity"` // critical, error, warning, info
	Timestamp     time.Time      `json:"timestamp"`
	Component     string         `json:"component"`
	Class         string         `json:"class"`
	CustomDetails map[string]any `json:"custom_details"`
}

func (n *Notifier) pagerDuty(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	key, err := n.secret(r.PagerDuty.RoutingKey)
	if err != nil {
		return nil, err
	}
	address := n.options.PagerDutyURL
	if address == "" {
		address = pagerDutyURL
	}
	hash := sha256.Sum256([]byte(what.Key))
	event := pagerDutyEvent{RoutingKey: key, EventAction: "resolve", DedupKey: hex.EncodeToString(hash[:]), Client: "ACS controller", ClientURL: n.options.PageURL}
	if what.Firing() {
		first := what.Alerts[0] // firing ones come first
		event.EventAction = "trigger"
		if link := runbook(what); link != "" {
			event.Links = []pagerDutyLink{{Href: link, Text: "Runbook"}}
		}
		event.Payload = &pagerDutyPayload{
			Summary: short(title(what)+": "+line(first), 1024), Source: what.Policy, Severity: first.Severity, Timestamp: first.Since,
			Component: first.Queue, Class: what.Alert, CustomDetails: map[string]any{"alerts": written(what, "")},
		}
	}
	return func(ctx context.Context) error { return n.post(ctx, address, "", event) }, nil
}
