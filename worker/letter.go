package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

// letterFlags are what a message says, in the predecessor's words.
type letterFlags struct {
	Channel     string            `placeholder:"CHANNEL" help:"The channel: sms, email or push; --worker-type's, or else that of the recipient, when absent."`
	MessageType string            `enum:"message_send,message_received" default:"message_send" help:"The type: ${enum}."`
	ID          string            `help:"The idempotency key; made up when absent."`
	FromNumber  redact.Personal   `help:"The sender of a text, E.164; the worker's own when absent."`
	ToNumber    redact.Personal   `help:"The recipient of a text, E.164."`
	FromEmail   redact.Personal   `help:"The sender of a mail; the worker's own when absent."`
	ToEmail     redact.Personal   `help:"The recipient of a mail."`
	Subject     redact.Personal   `help:"The subject of a mail."`
	Token       []redact.Personal `sep:"none" help:"A device of a push; may be repeated."`
	Topic       string            `help:"Or the topic of a push."`
	Title       redact.Personal   `help:"The title of a push."`
	Platform    string            `enum:",android,ios,web" default:"" help:"Whose devices a push goes to: android, ios or web."`
	Body        redact.Personal   `help:"The text; {n} becomes the number of the message."`
	Priority    string            `enum:"transactional,marketing" default:"transactional" help:"The priority: ${enum}."`
	Metadata    map[string]string `placeholder:"KEY=VALUE" help:"Kept with the message."`
}

// channel is the one that is named, or else the only one that workerType names,
// or else that of the recipient, or else sms.
func (f letterFlags) channel(workerType string) (message.Channel, error) {
	named := message.Channel(strings.ToLower(strings.TrimSpace(cmp.Or(f.Channel, workerType))))
	switch {
	case slices.Contains(channels, named):
		return named, nil
	case f.Channel != "":
		return "", cli.Usagef("--channel is %q; write sms, email or push", f.Channel)
	case f.ToNumber != "":
		return message.SMS, nil
	case f.ToEmail != "":
		return message.Email, nil
	case len(f.Token) > 0 || f.Topic != "":
		return message.Push, nil
	}
	return message.SMS, nil
}

// addressed fails where the recipient is missing, by the name of its flag.
func (f letterFlags) addressed(channel message.Channel) error {
	switch {
	case channel == message.SMS && f.ToNumber == "":
		return cli.Usagef("--to-number is missing: a text needs a recipient, for example --to-number +14155550123")
	case channel == message.Email && f.ToEmail == "":
		return cli.Usagef("--to-email is missing: a mail needs a recipient")
	case channel == message.Push && len(f.Token) == 0 && f.Topic == "":
		return cli.Usagef("--token is missing, and --topic: a push needs one of them")
	}
	return nil
}

// unused are the flags that were given and are of another channel: the
// predecessor's callers pass some whatever the channel.
func (f letterFlags) unused(channel message.Channel) (names []string) {
	for _, flag := range []struct {
		name  string
		of    message.Channel
		given bool
	}{
		{"--from-number", message.SMS, f.FromNumber != ""},
		{"--to-number", message.SMS, f.ToNumber != ""},
		{"--from-email", message.Email, f.FromEmail != ""},
		{"--to-email", message.Email, f.ToEmail != ""},
		{"--subject", message.Email, f.Subject != ""},
		{"--token", message.Push, len(f.Token) > 0},
		{"--topic", message.Push, f.Topic != ""},
		{"--title", message.Push, f.Title != ""},
		{"--platform", message.Push, f.Platform != ""},
	} {
		if flag.given && flag.of != channel {
			names = append(names, flag.name)
		}
	}
	return names
}

// message is the one with this number.
func (f letterFlags) message(channel message.Channel, number int) *message.Message {
	m := &message.Message{
		ID: f.ID, Channel: channel, Type: message.Type(f.MessageType), Body: numbered(f.Body, number),
		Priority: message.Priority(f.Priority), Metadata: f.Metadata,
	}
	if m.ID == "" {
		m.ID = ulid.Make().String()
	}
	switch channel {
	case message.SMS:
		m.From, m.To = f.FromNumber, f.ToNumber
	case message.Email:
		m.From, m.To, m.Subject = f.FromEmail, f.ToEmail, f.Subject
	case message.Push:
		m.Tokens, m.Topic, m.Title, m.Platform = f.Token, f.Topic, f.Title, message.Platform(f.Platform)
	}
	return m
}

// numbered puts the message's number where the body says {n}.
func numbered(body redact.Personal, number int) redact.Personal {
	return redact.Personal(strings.ReplaceAll(body.Reveal(), "{n}", strconv.Itoa(number)))
}
