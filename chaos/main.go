// Command chaos proves that nothing is lost and nothing is sent twice, by
// trying hard to bring it about: real worker processes that are killed at
// random, over the wire against SQS and Twilio that fail in every way they
// know, with a real PostgreSQL that restarts and whose connections are cut.
//
// It prints lost, doubled, in doubt and dead-lettered, and exits 1 unless the
// first two are 0. With --without-claim the workers' claims mean nothing: then
// it must find doubles, or it would find none in any case.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
)

type command struct {
	Messages     int           `default:"600" help:"How many messages."`
	Kills        int           `default:"8" help:"How many workers are killed."`
	For          time.Duration `default:"10s" help:"How long messages arrive; kills are spread over it."`
	Patience     time.Duration `default:"2m" help:"How long it may take then until all are settled."`
	Workers      int           `default:"3" help:"How many workers run at once."`
	Restarts     int           `default:"2" help:"How often PostgreSQL is restarted, every other time as by a crash."`
	Cuts         int           `default:"4" help:"How often all connections to PostgreSQL are cut."`
	Seed         uint64        `default:"1" help:"Of what is drawn; the machine's timing is not drawn."`
	WithoutClaim bool          `help:"Let every claim be granted, to see doubles found."`
	Logs         string        `placeholder:"FILE" help:"Where the workers' logs go; nowhere when absent."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	if len(args) == 0 {
		args = []string{"run"}
	}
	if args[0] != "run" {
		args = append([]string{"run"}, args...)
	}
	var grammar struct {
		Run command `cmd:"" help:"Run it."`
	}
	return cli.Run(ctx, "chaos", "Tries to lose messages, and to send them twice.", &grammar, args, cli.Streams{In: in, Out: out, Err: errOut})
}

// Run is the whole experiment.
func (c command) Run(ctx context.Context, streams cli.Streams) error {
	began := time.Now()
	world, err := c.build(ctx)
	if err != nil {
		return err
	}
	defer world.close()
	_, _ = fmt.Fprintf(streams.Out, "chaos: %d messages, %d kills of %d workers, %d database restarts, %d cuts, seed %d\n",
		c.Messages, c.Kills, c.Workers, c.Restarts, c.Cuts, c.Seed)
	if err := world.play(ctx); err != nil {
		return err
	}
	result, err := world.result(ctx)
	if err != nil {
		return err
	}
	result.print(streams.Out, time.Since(began))
	switch {
	case c.WithoutClaim && result.doubled == 0:
		return fmt.Errorf("no doubles were found without claims: this experiment could not fail")
	case !c.WithoutClaim && (result.lost > 0 || result.doubled > 0 || result.open > 0):
		return fmt.Errorf("%d lost, %d doubled, %d not settled", result.lost, result.doubled, result.open)
	}
	return nil
}
