package twilio

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cenkalti/backoff/v5"
	api "github.com/twilio/twilio-go/rest/api/v2010"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

// The bounds of a lookup, besides its timeout: a recipient who got more than this
// since the send that is in doubt needs a person.
const (
	pageSize    = 200 // of 1,000 that Twilio gives: a page of the longest texts fits in maxAnswer
	maxPages    = 100
	pageTimeout = 5 * time.Second // of one try for a page
	pageTries   = 3               // a list of many pages would else hardly ever come whole from a provider that falters
)

// Find implements provider.Sender: the account's messages to m's recipient
// since then, with m's text. It lists by recipient alone, for DateSent is null
// while Twilio queues a message and From is unknown with a messaging service;
// both are compared here.
func (c *Client) Find(ctx context.Context, m *message.Message, since time.Time) ([]provider.Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	params := new(api.ListMessageParams).SetTo(m.To.Reveal()).SetPageSize(pageSize)
	var found []provider.Receipt
	pageToken, page := "", ""
	for range maxPages {
		answer, err := c.page(ctx, params, pageToken, page)
		if err != nil {
			return nil, err
		}
		if answer.Messages == nil { // an error with status 200, a proxy's page: no word that there are none
			return nil, incomplete("the answer has no messages field")
		}
		matches, older, err := c.matches(answer.Messages, m, since)
		if err != nil {
			return nil, err
		}
		found = append(found, matches...)
		next := value(answer.NextPageUri)
		if older || next == "" {
			slices.SortStableFunc(found, func(a, b provider.Receipt) int { return b.Created.Compare(a.Created) })
			return found, nil
		}
		if pageToken, page, err = nextPage(next); err != nil {
			return nil, incomplete(err.Error())
		}
	}
	return nil, incomplete(fmt.Sprintf("more than %d messages to one recipient", maxPages*pageSize))
}

// page reads a page of a list, and again where no answer came: reading changes
// nothing.
func (c *Client) page(ctx context.Context, params *api.ListMessageParams, pageToken, page string) (*api.ListMessageResponse, error) {
	var refused error
	answer, err := backoff.Retry(ctx, func() (*api.ListMessageResponse, error) {
		bounded, cancel := context.WithTimeout(ctx, pageTimeout)
		defer cancel()
		call := &call{ctx: bounded, client: c, ownSender: true}
		answer, err := call.api().PageMessage(params, pageToken, page)
		if err == nil {
			return answer, nil
		}
		refused = call.typed(err)
		if class := provider.AsError(refused).Class; class != provider.InDoubt && class != provider.Transient {
			return nil, backoff.Permanent(refused)
		}
		return nil, refused
	}, backoff.WithMaxTries(pageTries))
	if err != nil {
		return nil, refused // and not the end of ctx, which has no class
	}
	return answer, nil
}

// matches are the messages of a page that are m's. older says that the next page
// has none: Twilio lists the newest first. Where a list does not look so, all of it
// is read, for what is not found is sent again.
func (c *Client) matches(page []api.ApiV2010Message, m *message.Message, since time.Time) (found []provider.Receipt, older bool, err error) {
	earliest := since.Truncate(time.Second) // Twilio's dates have seconds
	var first, last time.Time
	for i, listed := range page {
		created, ok := createdAt(listed)
		if !ok {
			return nil, false, incomplete("a message of the list has no date of creation")
		}
		if i == 0 {
			first = created
		}
		last = created
		if !created.Before(earliest) && c.sameMessage(listed, m) {
			found = append(found, provider.Receipt{ID: value(listed.Sid), Status: value(listed.Status), Created: created})
		}
	}
	return found, last.Before(first) && last.Before(earliest), nil
}

// createdAt reads Twilio's RFC 2822 date, or RFC 3339 as other servers of its API
// write it.
func createdAt(listed api.ApiV2010Message) (at time.Time, ok bool) {
	for _, layout := range []string{time.RFC1123Z, time.RFC1123, time.RFC3339} {
		if at, err := time.Parse(layout, value(listed.DateCreated)); err == nil {
			return at, true
		}
	}
	return at, false
}

// incomplete is a lookup that is not an answer.
func incomplete(why string) error {
	return &provider.Error{Provider: Name, Class: provider.InDoubt, Message: "the list of messages is not complete: " + why}
}

func nextPage(uri string) (token, page string, err error) {
	parsed, err := url.Parse(uri)
	if err != nil {
		return "", "", fmt.Errorf("the next page is not a URI: %w", once.WithoutURL(err))
	}
	query := parsed.Query()
	if query.Get("PageToken") == "" && query.Get("Page") == "" {
		return "", "", errors.New("the next page has no token")
	}
	return query.Get("PageToken"), query.Get("Page"), nil
}

func (c *Client) sameMessage(listed api.ApiV2010Message, m *message.Message) bool {
	if strings.HasPrefix(value(listed.Direction), "inbound") || value(listed.To) != m.To.Reveal() {
		return false
	}
	from := m.From.Reveal()
	if from == "" {
		from = c.from
	}
	if from != "" && value(listed.From) != from {
		return false
	}
	return sameText(value(listed.Body), m.Body.Reveal())
}

// trialPrefix stands before every text of a trial account.
const trialPrefix = "Sent from your Twilio trial account - "

// sameText compares letters and digits: Twilio's smart encoding replaces
// quotes, dashes and spaces by those of the GSM alphabet, and trims. A match
// missed would be a text sent twice.
func sameText(listed, sent string) bool {
	listed = strings.TrimPrefix(listed, trialPrefix)
	if strings.TrimSpace(listed) == strings.TrimSpace(sent) {
		return true
	}
	words := letters(sent)
	return words != "" && letters(listed) == words
}

func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) {
			return r
		}
		return -1
	}, text)
}
