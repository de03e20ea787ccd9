package processor

import (
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
)

// settings are the variables that a channel's sender needs.
var settings = map[message.Channel]string{
	message.SMS:   "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM_NUMBER or TWILIO_MESSAGING_SERVICE_SID",
	message.Email: "EMAIL_PROVIDER and, for smtp, SMTP_URL",
	message.Push:  "FCM_CREDENTIALS, APNS_KEY or VAPID_PRIVATE_KEY",
}

// providerStatuses are Twilio's words for where a text stands. Those that are
// not here (queued, accepted, scheduled, sending) say no more than that Twilio
// has it, which the row says already.
var providerStatuses = map[string]store.Status{
	"sent":        store.Sent,
	"delivered":   store.Delivered,
	"read":        store.Delivered,
	"undelivered": store.Undelivered,
	"failed":      store.Failed,
	"canceled":    store.Failed,
}

// optedOut is Twilio's code for a recipient who sent STOP.
const optedOut = "21610"
