// Package ses sends mails through Amazon SES, API version 2.
//
// It imports provider, once, mail, message and redact. Start with Client.Send;
// the classes of refusals are a table in errors.go.
package ses

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/mail"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

// Name is the provider's name in history and errors.
const Name = "ses"

// DefaultTimeout is how long one call may take.
const DefaultTimeout = 20 * time.Second

// maxAnswer bounds what is read of an answer.
const maxAnswer = 1 << 20

// Config is what a Client needs to know.
type Config struct {
	AWS              aws.Config    // region, credentials, endpoint; its retries and its HTTP client are not used
	From             string        // EMAIL_FROM: the sender of messages that name none
	ConfigurationSet string        // SES_CONFIGURATION_SET: where events go; empty: the account's default
	Attachments      mail.Fetcher  // nil: messages with attachments are refused
	Timeout          time.Duration // of one call; 0: DefaultTimeout
}

// Client is a provider.Sender. It is safe for concurrent use.
type Client struct {
	api              *sesv2.Client
	composer         mail.Composer
	configurationSet *string
	timeout          time.Duration
}

var _ provider.Sender = (*Client)(nil)

// New checks a configuration; its error names what is missing.
func New(c Config) (*Client, error) {
	if c.AWS.Region == "" {
		return nil, errors.New("ses: the region is missing: set AWS_REGION")
	}
	composer := mail.Composer{Provider: Name, From: c.From, Fetcher: c.Attachments}
	if err := composer.Check(); err != nil {
		return nil, err
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	client := &Client{composer: composer, timeout: c.Timeout}
	if c.ConfigurationSet != "" {
		client.configurationSet = &c.ConfigurationSet
	}
	client.api = sesv2.NewFromConfig(c.AWS, func(o *sesv2.Options) {
		o.Retryer = aws.NopRetryer{} // SES has no idempotency token: a repeat is a second mail
		o.HTTPClient = doer{once.NewClient(nil)}
	})
	return client, nil
}

// doer is what the SDK makes its requests with: each once, its progress known,
// its answer bounded.
type doer struct{ client *http.Client }

// Do implements aws.HTTPClient.
func (d doer) Do(request *http.Request) (*http.Response, error) {
	response, err := once.RoundTrip(d.client, request)
	if err != nil {
		return nil, err
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(response.Body, maxAnswer), response.Body}
	return response, nil
}

// Name implements provider.Sender.
func (c *Client) Name() string { return Name }

// Send implements provider.Sender: one SendEmail, never repeated.
func (c *Client) Send(ctx context.Context, m *message.Message) (provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	in, own, err := c.input(ctx, m)
	if err != nil {
		return provider.Receipt{}, err
	}
	out, err := c.api.SendEmail(ctx, in)
	if err != nil {
		return provider.Receipt{}, classify(err, own)
	}
	if aws.ToString(out.MessageId) == "" {
		return provider.Receipt{}, &provider.Error{Provider: Name, Class: provider.InDoubt, Message: "the answer names no message"}
	}
	return provider.Receipt{ID: *out.MessageId, Status: "accepted"}, nil
}

// Find implements provider.Sender: SES cannot be asked.
func (c *Client) Find(context.Context, *message.Message, time.Time) ([]provider.Receipt, error) {
	return nil, provider.ErrNoLookup
}

// tagValue is what SES takes as a tag's value, up to maxTagValue bytes.
var tagValue = regexp.MustCompile(`^[A-Za-z0-9_.@-]+$`)

const maxTagValue = 256

func (c *Client) input(ctx context.Context, m *message.Message) (in *sesv2.SendEmailInput, own bool, err error) {
	from, own, err := c.composer.Sender(m)
	if err != nil {
		return nil, own, err
	}
	cc, bcc := mail.Copies(m)
	in = &sesv2.SendEmailInput{
		FromEmailAddress: &from, ConfigurationSetName: c.configurationSet,
		Destination: &types.Destination{
			ToAddresses: []string{m.To.Reveal()}, CcAddresses: revealed(cc), BccAddresses: revealed(bcc),
		},
	}
	in.EmailTags = tags(m.ID)
	mime, err := c.composer.Compose(ctx, m) // checks all, whichever form goes out
	if err != nil {
		return nil, own, err
	}
	if simple(m) {
		in.ReplyToAddresses = revealed(m.ReplyTo)
		in.Content = &types.EmailContent{Simple: &types.Message{
			Subject: content(m.Subject), Body: &types.Body{Text: content(m.Body), Html: content(m.HTML)},
		}}
		return in, own, nil
	}
	var raw bytes.Buffer
	if _, err := mime.WriteTo(&raw); err != nil {
		return nil, own, &provider.Error{Provider: Name, Class: provider.Permanent, Message: "the mail cannot be written as MIME"}
	}
	in.Content = &types.EmailContent{Raw: &types.RawMessage{Data: raw.Bytes()}}
	return in, own, nil
}

// tags carry our id; as it is, or, where SES does not take its characters, encoded.
// An id too long for either has none: its events are matched by SES's own id alone.
func tags(id string) []types.MessageTag {
	name, encoded := message.EncodedTag, base64.RawURLEncoding.EncodeToString([]byte(id))
	if tagValue.MatchString(id) {
		name, encoded = message.Tag, id
	}
	if len(encoded) > maxTagValue {
		return nil
	}
	return []types.MessageTag{{Name: &name, Value: &encoded}}
}

// simple says that SES can compose the mail from its parts; raw MIME is for
// what has more.
func simple(m *message.Message) bool { return len(m.Headers) == 0 && len(m.Attachments) == 0 }

func content(text redact.Personal) *types.Content {
	if text == "" {
		return nil
	}
	return &types.Content{Data: aws.String(text.Reveal()), Charset: aws.String("UTF-8")}
}

func revealed(addresses []redact.Personal) []string {
	var texts []string
	for _, address := range addresses {
		texts = append(texts, address.Reveal())
	}
	return texts
}
