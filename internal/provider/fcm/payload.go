package fcm

import (
	"strconv"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
)

// The message of HTTP v1, as much of it as is used.
//
// https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
type (
	envelope struct {
		Message payload `json:"message"`
	}
	payload struct {
		Token        string            `json:"token,omitempty"`
		Topic        string            `json:"topic,omitempty"`
		Notification *notification     `json:"notification,omitempty"`
		Data         map[string]string `json:"data,omitempty"`
		Android      android           `json:"android"`
		APNS         apns              `json:"apns"`
		WebPush      webPush           `json:"webpush"`
	}
	notification struct {
		Title string `json:"title,omitempty"`
		Body  string `json:"body,omitempty"`
	}
	android struct {
		Priority     string               `json:"priority"`
		TTL          string               `json:"ttl,omitempty"`
		Notification *androidNotification `json:"notification,omitempty"`
	}
	androidNotification struct {
		Tag string `json:"tag"`
	}
	apns struct {
		Headers map[string]string `json:"headers"`
		Payload *apnsPayload      `json:"payload,omitempty"`
	}
	apnsPayload struct {
		APS map[string]int `json:"aps"`
	}
	webPush struct {
		Headers map[string]string `json:"headers"`
	}
)

// dataKey carries our id to the app, which can know a push that it has had.
const dataKey = "acs_id"

// compose is m for all three platforms, since FCM alone knows whose the token
// is. Each folds a push that is sent again in its own way: Apple's by the
// collapse id, the web's by the topic, and Android's by the notification's
// tag. Android's collapse_key would do harm: FCM keeps four keys a device that
// is offline, and drops the rest.
func (c *Client) compose(m *message.Message) payload {
	id := provider.CollapseID(m)
	p := payload{
		Topic: m.Topic, Data: map[string]string{dataKey: m.ID},
		Android: android{Priority: "high"},
		APNS:    apns{Headers: map[string]string{"apns-collapse-id": id, "apns-priority": "10"}},
		WebPush: webPush{Headers: map[string]string{"Topic": id, "Urgency": "high"}},
	}
	if len(m.Tokens) > 0 {
		p.Token = m.Tokens[0].Reveal()
	}
	if m.Priority == message.Marketing {
		p.Android.Priority, p.APNS.Headers["apns-priority"], p.WebPush.Headers["Urgency"] = "normal", "5", "normal"
	}
	if m.Title != "" || m.Body != "" {
		p.Notification = &notification{Title: m.Title.Reveal(), Body: m.Body.Reveal()}
		p.Android.Notification = &androidNotification{Tag: id}
	} else { // Apple wakes an app for nothing but this, and at no higher priority
		p.APNS.Payload = &apnsPayload{APS: map[string]int{"content-available": 1}}
		p.APNS.Headers["apns-priority"], p.APNS.Headers["apns-push-type"] = "5", "background"
	}
	for name, value := range m.Data {
		p.Data[name] = provider.DataText(value)
	}
	if !m.ExpiresAt.IsZero() {
		left := timeToLive(m.ExpiresAt.Sub(c.currentTime()))
		p.Android.TTL = left + "s"
		p.WebPush.Headers["TTL"] = left
		p.APNS.Headers["apns-expiration"] = strconv.FormatInt(m.ExpiresAt.Unix(), 10)
	}
	return p
}

// timeToLive is in seconds, from now to four weeks, which is FCM's bound.
func timeToLive(left time.Duration) string {
	const most = 2_419_200
	return strconv.Itoa(min(max(int(left/time.Second), 0), most))
}
