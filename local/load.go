package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/oklog/ulid/v2"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

const (
	loadTick   = 250 * time.Millisecond
	dumpSize   = 5000
	firstDump  = 100 * time.Second // by then the controller knows what a task does
	dumpEvery  = 5 * time.Minute
	dayLength  = 24 * time.Minute // a day of load, an hour a minute
	dayBegins  = 7                // the hour at which it starts
	inboundOf  = 200              // one message in so many is inbound, from a person
	batchLimit = 10
	laneRests  = 5 * time.Second // after a queue refused the load

	campaignLength = 5.0 / 60 // hours
)

// campaignHours are when the day's campaigns leave, at the full hour.
var campaignHours = []int{9, 12, 15, 18}

// load puts messages on the queues as applications would.
type load struct {
	client    *sqs.Client
	out       io.Writer // told when a queue refuses the load, and when it takes it again
	providers *providers
	lanes     []*lane
}

// lane is one channel's part of the load.
type lane struct {
	queue
	weight int
	sent   atomic.Int64 // messages that the queue accepted
	// ids are theirs. run owns them and retryAt; others read them when it has
	// ended.
	ids     []string
	retryAt time.Time // the queue refused the load, and is left alone until then; zero: it takes it
}

// weights: most of what arrives are texts.
var weights = map[message.Channel]int{message.SMS: 7, message.Email: 2, message.Push: 1}

func newLoad(client *sqs.Client, p *providers, queues []queue, channels []string, out io.Writer) *load {
	l := &load{client: client, providers: p, out: out}
	for _, q := range queues {
		if slices.Contains(channels, string(q.channel)) {
			l.lanes = append(l.lanes, &lane{queue: q, weight: weights[q.channel]})
		}
	}
	return l
}

// sent is what the queues accepted; of one channel, or of all.
func (l *load) sent(channel message.Channel) (sum int64) {
	for _, lane := range l.lanes {
		if channel == "" || lane.channel == channel {
			sum += lane.sent.Load()
		}
	}
	return sum
}

// ids are those of the messages that a channel's queue accepted. They may be
// read when run has ended.
func (l *load) ids(channel message.Channel) (ids []string) {
	for _, lane := range l.lanes {
		if lane.channel == channel {
			ids = append(ids, lane.ids...)
		}
	}
	return ids
}

// run sends by pattern until ctx ends. A queue that refuses the load does not
// end it: it is said once, and tried again every few seconds.
func (l *load) run(ctx context.Context, pattern string, rate float64) {
	ticker := time.NewTicker(loadTick)
	defer ticker.Stop()
	began, due, campaign, dumps := time.Now(), 0.0, 0.0, 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		elapsed := time.Since(began)
		usual, more := rateAt(pattern, rate, elapsed)
		due += usual * loadTick.Seconds()
		campaign += more * loadTick.Seconds()
		if pattern == "burst" && elapsed >= firstDump+time.Duration(dumps)*dumpEvery {
			due += dumpSize
			dumps++
		}
		whole, marketing := math.Floor(due), math.Floor(campaign)
		due, campaign = due-whole, campaign-marketing
		l.send(ctx, int(whole), message.Transactional)
		l.send(ctx, int(marketing), message.Marketing)
	}
}

// rateAt is the arrival rate in messages/s, so long after the start, and a
// campaign's beside it.
func rateAt(pattern string, mean float64, elapsed time.Duration) (usual, campaign float64) {
	if pattern != "day" {
		return mean, 0
	}
	hour := math.Mod(24*elapsed.Hours()/dayLength.Hours()+dayBegins, 24)
	usual = 0.1 * mean // the night
	if hour > 6 && hour < 22 {
		usual += 2.7 * mean * math.Pow(math.Sin(math.Pi*(hour-6)/16), 2) // most at two in the afternoon
	}
	if slices.Contains(campaignHours, int(hour)) && math.Mod(hour, 1) < campaignLength {
		campaign = 10 * mean
	}
	return usual, campaign
}

// send puts n messages on the queues, in batches: each channel's by its
// weight, the remainder as chance has it. Marketing goes to texts and mails.
func (l *load) send(ctx context.Context, n int, priority message.Priority) {
	total := 0
	lanes := l.lanes
	if priority == message.Marketing {
		lanes = slices.DeleteFunc(slices.Clone(lanes), func(l *lane) bool { return l.channel == message.Push })
	}
	for _, lane := range lanes {
		total += lane.weight
	}
	if total == 0 {
		return
	}
	shares := make([]int, len(lanes))
	for range n {
		drawn := rand.IntN(total) //nolint:gosec // no secret
		for i, lane := range lanes {
			if drawn -= lane.weight; drawn < 0 {
				shares[i]++
				break
			}
		}
	}
	for i, lane := range lanes {
		if shares[i] == 0 || time.Now().Before(lane.retryAt) {
			continue
		}
		err := l.sendLane(ctx, lane, shares[i], priority)
		if ctx.Err() == nil {
			l.say(lane, err)
		}
	}
}

// say tells of a queue that begins or ends to refuse the load.
func (l *load) say(lane *lane, err error) {
	switch {
	case err != nil && lane.retryAt.IsZero():
		_, _ = fmt.Fprintf(l.out, "load: %s takes no messages: %s; the load goes on without it, and tries again every %s\n", lane.name, why(err), laneRests)
	case err == nil && !lane.retryAt.IsZero():
		_, _ = fmt.Fprintf(l.out, "load: %s takes messages again\n", lane.name)
	}
	lane.retryAt = time.Time{}
	if err != nil {
		lane.retryAt = time.Now().Add(laneRests)
	}
}

// why is what AWS says, without the request around it.
func why(err error) string {
	if refusal, is := errors.AsType[smithy.APIError](err); is {
		return refusal.ErrorCode() + ": " + strings.TrimSuffix(refusal.ErrorMessage(), ".")
	}
	return err.Error()
}

func (l *load) sendLane(ctx context.Context, to *lane, n int, priority message.Priority) error {
	for n > 0 && ctx.Err() == nil {
		size := min(n, batchLimit)
		entries, ids := make([]types.SendMessageBatchRequestEntry, size), make([]string, size)
		for i := range entries {
			m := l.next(to.channel, priority)
			body, err := message.Encode(m)
			if err != nil {
				return err
			}
			ids[i] = m.ID
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body))}
		}
		answer, err := l.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &to.url, Entries: entries})
		if err != nil {
			return err
		}
		for _, accepted := range answer.Successful {
			if i, err := strconv.Atoi(aws.ToString(accepted.Id)); err == nil && i < len(ids) {
				to.ids = append(to.ids, ids[i])
			}
		}
		to.sent.Add(int64(len(answer.Successful)))
		n -= size
	}
	return nil
}

// next makes up a message: a code to log in with, an order on its way, and
// now and then an answer, or a mail that bounces; or a campaign's message.
func (l *load) next(channel message.Channel, priority message.Priority) *message.Message {
	id := ulid.Make().String()
	text := redact.Personal(fmt.Sprintf(texts[rand.IntN(len(texts))], id[len(id)-8:])) //nolint:gosec // no secret
	m := &message.Message{ID: id, Channel: channel, Type: message.Send, Body: text, Priority: priority}
	switch channel {
	case message.SMS:
		m.From, m.To = senderNumber, redact.Personal(fmt.Sprintf("+1415555%04d", rand.IntN(10000))) //nolint:gosec // made-up numbers, 555 among them
		if priority != message.Marketing && rand.IntN(inboundOf) == 0 {                             //nolint:gosec // no secret
			m.Type, m.From, m.To, m.Body = message.Received, m.To, senderNumber, "Thanks!"
		}
	case message.Email:
		m.To, m.Subject = mailbox(), "From Novaura"
		m.HTML = redact.Personal("<p>" + text.Reveal() + "</p>")
		if priority == message.Marketing {
			m.Headers = map[string]string{"List-Unsubscribe": "<https://example.com/unsubscribe/" + id + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
		}
	case message.Push:
		token, platform := l.providers.device()
		m.Title, m.Platform, m.Tokens = "Novaura", platform, []redact.Personal{token}
	}
	return m
}

var texts = []string{"Your code is %s.", "Order %s is on its way.", "Reminder: appointment %s tomorrow at 9:30.", "Invoice %s is ready."}

const (
	complaintOf = 5000 // one mail in so many is complained about
	bounceOf    = 200  // one mail in so many bounces
)

// mailbox is one of a thousand, or now and then one that bounces or complains,
// as SES's simulator has them. Both shares stay below what alerts watch for.
func mailbox() redact.Personal {
	n := rand.IntN(1000) //nolint:gosec // made-up addresses
	switch {
	case rand.IntN(complaintOf) == 0: //nolint:gosec // no secret
		return redact.Personal(fmt.Sprintf("complaint+%d@simulator.amazonses.com", n))
	case rand.IntN(bounceOf) == 0: //nolint:gosec // no secret
		return redact.Personal(fmt.Sprintf("bounce+%d@simulator.amazonses.com", n))
	}
	return redact.Personal(fmt.Sprintf("person%03d@example.com", n))
}
