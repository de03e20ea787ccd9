package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5/pgxpool"
)

// loops is how many batches of ten the Go baselines work on at once.
const loops = 8

// floor receives and deletes until the queue is empty.
func floor(ctx context.Context) error {
	return eachBatch(ctx, func(context.Context, []types.Message) error { return nil })
}

// bare is the least that has a claim and a settlement.
func bare(ctx context.Context) error {
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	schema := os.Getenv("DB_SCHEMA")
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, "CREATE TABLE "+schema+`.events (id text PRIMARY KEY, status text NOT NULL,
		to_address text, provider_id text, updated_at timestamptz NOT NULL DEFAULT now())`); err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: loops * batchSize}
	defer transport.CloseIdleConnections()
	b := bareLife{pool: pool, schema: schema, http: &http.Client{Transport: transport}, provider: os.Getenv("PROVIDER_URL")}
	return eachBatch(ctx, b.work)
}

const batchSize = 10

// eachBatch runs work on received batches, and deletes them, on several loops
// until a receive comes back empty.
func eachBatch(ctx context.Context, work func(context.Context, []types.Message) error) error {
	config, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	client, queue := sqs.NewFromConfig(config), os.Getenv("QUEUE_URL")
	var running sync.WaitGroup
	errs := make(chan error, loops)
	for range loops {
		running.Go(func() { errs <- drain(ctx, client, queue, work) })
	}
	running.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func drain(ctx context.Context, client *sqs.Client, queue string, work func(context.Context, []types.Message) error) error {
	for {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: batchSize})
		if err != nil || len(out.Messages) == 0 {
			return err
		}
		if err := work(ctx, out.Messages); err != nil {
			return err
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &queue}
		for i, m := range out.Messages {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if _, err := client.DeleteMessageBatch(ctx, in); err != nil {
			return err
		}
	}
}

type bareLife struct {
	pool     *pgxpool.Pool
	schema   string
	http     *http.Client
	provider string
}

type bareMessage struct {
	ID   string `json:"id"`
	To   string `json:"to"`
	From string `json:"from"`
	Body string `json:"body"`
}

// work claims the batch in one statement, sends each message on a goroutine of
// its own, and settles the batch in one statement.
func (b bareLife) work(ctx context.Context, batch []types.Message) error {
	messages, ids, to := make([]bareMessage, len(batch)), make([]string, len(batch)), make([]string, len(batch))
	for i, received := range batch {
		if err := json.Unmarshal([]byte(*received.Body), &messages[i]); err != nil {
			return err
		}
		ids[i], to[i] = messages[i].ID, messages[i].To
	}
	if _, err := b.pool.Exec(ctx, "INSERT INTO "+b.schema+`.events (id, status, to_address)
		SELECT i, 'processing', t FROM unnest($1::text[], $2::text[]) AS x (i, t) ON CONFLICT DO NOTHING`, ids, to); err != nil {
		return err
	}
	var sending sync.WaitGroup
	sids, errs := make([]string, len(batch)), make([]error, len(batch))
	for i := range messages {
		sending.Go(func() { sids[i], errs[i] = b.send(ctx, messages[i]) })
	}
	sending.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	_, err := b.pool.Exec(ctx, "UPDATE "+b.schema+`.events e SET status = 'sent', provider_id = x.s, updated_at = now()
		FROM unnest($1::text[], $2::text[]) AS x (i, s) WHERE e.id = x.i`, ids, sids)
	return err
}

func (b bareLife) send(ctx context.Context, m bareMessage) (string, error) {
	form := url.Values{"To": {m.To}, "From": {m.From}, "Body": {m.Body}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.provider, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := b.http.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	var receipt struct {
		SID string `json:"sid"`
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	return receipt.SID, json.Unmarshal(text, &receipt)
}
