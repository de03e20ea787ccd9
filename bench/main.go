// Command bench measures the worker against a peer and against a floor, in one
// run on one machine: the same queue server, the same PostgreSQL, the same
// provider without latency. CPU is each contestant's own process (getrusage),
// children excluded; the ratios are what counts, not the seconds.
//
// Contestants:
//
//	worker       the shipped worker with its defaults
//	bare         a lifecycle in Go without anything around it: receive, claim a
//	             batch, send, settle the batch, delete
//	floor        receive and delete, nothing else
//	sqs-consumer the npm library with an equivalent handler: insert, send,
//	             update, delete
//
// Start with main, then contest.go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

func run(ctx context.Context) error {
	role := flag.String("role", "", "be a contestant: bare or floor (used by bench itself)")
	messages := flag.Int("messages", 20000, "messages for each contestant")
	rounds := flag.Int("rounds", 3, "rounds; the median counts")
	only := flag.String("only", "", "one contestant alone")
	latency := flag.Duration("latency", 0, "the provider's latency")
	flag.Parse()
	switch *role {
	case "bare":
		return bare(ctx)
	case "floor":
		return floor(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	return contest(ctx, options{messages: *messages, rounds: *rounds, only: *only, latency: *latency})
}
