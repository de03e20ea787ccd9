package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
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

// load puts messages on a queue as applications would.
type load struct {
	client *sqs.Client
	queue  string
	sent   atomic.Int64 // messages that the queue accepted
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

// send puts n messages on the queue, in batches.
func (l *load) send(ctx context.Context, n int) error {
	for n > 0 && ctx.Err() == nil {
		size := min(n, batchLimit)
		entries := make([]types.SendMessageBatchRequestEntry, size)
		for i := range entries {
			body, err := message.Encode(l.next())
			if err != nil {
				return err
			}
			entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(body))}
		}
		answer, err := l.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &l.queue, Entries: entries})
		if err != nil {
			return err
		}
		l.sent.Add(int64(len(answer.Successful)))
		n -= size
	}
	return nil
}

// next makes up a message: a code to log in with, an order on its way, and
// now and then an answer.
func (l *load) next() *message.Message {
	number := redact.Personal(fmt.Sprintf("+1415555%04d", rand.IntN(10000))) //nolint:gosec // made-up numbers, 555 among them
	id := ulid.Make().String()
	if rand.IntN(inboundOf) == 0 { //nolint:gosec // no secret
		return &message.Message{ID: id, Channel: message.SMS, Type: message.Received, From: number, To: senderNumber, Body: "Thanks!"}
	}
	texts := []string{"Your code is %s.", "Order %s is on its way.", "Reminder: appointment %s tomorrow at 9:30.", "Invoice %s is ready."}
	text := texts[rand.IntN(len(texts))] //nolint:gosec // no secret
	return &message.Message{
		ID: id, Channel: message.SMS, Type: message.Send, From: senderNumber, To: number,
		Body: redact.Personal(fmt.Sprintf(text, id[len(id)-8:])), Priority: message.Transactional,
	}
}
