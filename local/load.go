package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/oklog/ulid/v2"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/redact"
)

const (
	loadTick   = 250 * time.Millisecond
	dumpSize   = 5000
	firstDump  = 20 * time.Second
	dumpEvery  = 5 * time.Minute
	dayLength  = 24 * time.Minute // a day of load, an hour a minute
	inboundOf  = 200              // one message in so many is inbound, from a person
	batchLimit = 10
)

// load puts messages on the queues as applications would.
type load struct {
	client    *sqs.Client
	providers *providers
	lanes     []*lane
}

// lane is one channel's part of the load.
type lane struct {
	queue
	weight int
	sent   atomic.Int64 // messages that the queue accepted
}

// weights: most of what arrives are texts.
var weights = map[message.Channel]int{message.SMS: 7, message.Email: 2, message.Push: 1}

func newLoad(client *sqs.Client, p *providers, queues []queue, channels []string) *load {
	l := &load{client: client, providers: p}
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

// run sends by pattern until ctx ends.
func (l *load) run(ctx context.Context, pattern string, rate float64) error {
	ticker := time.NewTicker(loadTick)
	defer ticker.Stop()
	began, due, dumps := time.Now(), 0.0, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		elapsed := time.Since(began)
		due += rateAt(pattern, rate, elapsed) * loadTick.Seconds()
		if pattern == "burst" && elapsed >= firstDump+time.Duration(dumps)*dumpEvery {
			due += dumpSize
			dumps++
		}
		whole := math.Floor(due)
		due -= whole
		if err := l.send(ctx, int(whole)); err != nil && ctx.Err() == nil {
			return fmt.Errorf("send the load: %w", err)
		}
	}
}

// rateAt is the arrival rate in messages/s, so long after the start.
func rateAt(pattern string, mean float64, elapsed time.Duration) float64 {
	if pattern != "day" {
		return mean
	}
	hour := 24*float64(elapsed%dayLength)/float64(dayLength) + 7 // the day starts at seven
	rate := mean * (1 - 0.85*math.Cos(2*math.Pi*(hour-3)/24))    // quiet at three, busy at fifteen
	if minute := math.Mod(hour, 1) * 60; minute < 3 && math.Mod(hour, 3) < 1 {
		rate += 12 * mean // a campaign every third hour, at the full hour
	}
	return rate
}

// send puts n messages on the queues, in batches: each channel's by its
// weight, the remainder as chance has it.
func (l *load) send(ctx context.Context, n int) error {
	total := 0
	for _, lane := range l.lanes {
		total += lane.weight
	}
	shares := make([]int, len(l.lanes))
	for range n {
		drawn := rand.IntN(total) //nolint:gosec // no secret
		for i, lane := range l.lanes {
			if drawn -= lane.weight; drawn < 0 {
				shares[i]++
				break
			}
		}
	}
	for i, lane := range l.lanes {
		if err := l.sendLane(ctx, lane, shares[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) sendLane(ctx context.Context, to *lane, n int) error {
	for n > 0 && ctx.Err() == nil {
		size := min(n, batchLimit)
		entries := make([]types.SendMessageBatchRequestEntry, size)
		for i := range entries {
			body, err := message.Encode(l.next(to.channel))
			if err != nil {
				return err
			}
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body))}
		}
		answer, err := l.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &to.url, Entries: entries})
		if err != nil {
			return err
		}
		to.sent.Add(int64(len(answer.Successful)))
		n -= size
	}
	return nil
}

// next makes up a message: a code to log in with, an order on its way, and
// now and then an answer, or a mail that bounces.
func (l *load) next(channel message.Channel) *message.Message {
	id := ulid.Make().String()
	text := redact.Personal(fmt.Sprintf(texts[rand.IntN(len(texts))], id[len(id)-8:])) //nolint:gosec // no secret
	m := &message.Message{ID: id, Channel: channel, Type: message.Send, Body: text, Priority: message.Transactional}
	switch channel {
	case message.SMS:
		m.From, m.To = senderNumber, redact.Personal(fmt.Sprintf("+1415555%04d", rand.IntN(10000))) //nolint:gosec // made-up numbers, 555 among them
		if rand.IntN(inboundOf) == 0 {                                                              //nolint:gosec // no secret
			m.Type, m.From, m.To, m.Body = message.Received, m.To, senderNumber, "Thanks!"
		}
	case message.Email:
		m.To, m.Subject = mailbox(), "From Novaura"
		m.HTML = redact.Personal("<p>" + text.Reveal() + "</p>")
		if rand.IntN(2) == 0 { //nolint:gosec // no secret
			m.Priority = message.Marketing
			m.Headers = map[string]string{"List-Unsubscribe": "<https://example.com/unsubscribe/" + id + ">", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
		}
	case message.Push:
		token, platform := l.providers.device()
		m.Title, m.Platform, m.Tokens = "Novaura", platform, []redact.Personal{token}
	}
	return m
}

var texts = []string{"Your code is %s.", "Order %s is on its way.", "Reminder: appointment %s tomorrow at 9:30.", "Invoice %s is ready."}

// mailbox is one of a thousand, or, one time in a hundred each, one that
// bounces or complains, as SES's simulator has them.
func mailbox() redact.Personal {
	n := rand.IntN(1000)    //nolint:gosec // made-up addresses
	switch rand.IntN(100) { //nolint:gosec // no secret
	case 0:
		return redact.Personal(fmt.Sprintf("bounce+%d@simulator.amazonses.com", n))
	case 1:
		return redact.Personal(fmt.Sprintf("complaint+%d@simulator.amazonses.com", n))
	}
	return redact.Personal(fmt.Sprintf("person%03d@example.com", n))
}
