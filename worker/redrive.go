package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// deadLetterFlags name queues and their dead letters.
type deadLetterFlags struct {
	Channel       string `enum:"sms,email,push" default:"sms" help:"The channel: ${enum}."`
	SMSQueueURL   string `env:"SMS_QUEUE_URL" name:"sms-queue-url" placeholder:"URL,…" help:"The queue of texts; several with commas."`
	EmailQueueURL string `env:"EMAIL_QUEUE_URL" name:"email-queue-url" placeholder:"URL,…" help:"The queue of mails."`
	PushQueueURL  string `env:"PUSH_QUEUE_URL" name:"push-queue-url" placeholder:"URL,…" help:"The queue of pushes."`
	DeadLetterURL string `name:"dead-letter-url" help:"The dead-letter queue, whose letters go to the first queue; those that the queues' redrive policies name when absent."`
	By            string `help:"Who does it, for the history; the user and the machine when absent."`
}

// redriver is prepared for the channel's queues, each with its own dead letters.
// Where several queues share one, and where a person names one, the first of the
// list is where messages go.
func (f deadLetterFlags) redriver(ctx context.Context, db store.Store) (*deadletter.Redriver, error) {
	queues := strings.FieldsFunc(map[string]string{"sms": f.SMSQueueURL, "email": f.EmailQueueURL, "push": f.PushQueueURL}[f.Channel],
		func(r rune) bool { return r == ',' || r == ' ' })
	if len(queues) == 0 {
		return nil, cli.Usagef("%s_QUEUE_URL is not set: name the queue whose dead letters are meant", strings.ToUpper(f.Channel))
	}
	config, err := awsclient.Load(ctx)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	client := sqs.NewFromConfig(config)
	r := &deadletter.Redriver{Store: db, SQS: client, Channel: message.Channel(f.Channel), By: f.author()}
	if f.DeadLetterURL != "" {
		r.Sources = []deadletter.Source{{Queue: queues[0], DeadLetters: f.DeadLetterURL}}
		return r, nil
	}
	for _, queue := range queues {
		letters, err := deadletter.Find(ctx, client, queue)
		switch {
		case errors.Is(err, deadletter.ErrNone):
		case err != nil:
			return nil, err
		case !slices.ContainsFunc(r.Sources, func(s deadletter.Source) bool { return s.DeadLetters == letters }):
			r.Sources = append(r.Sources, deadletter.Source{Queue: queue, DeadLetters: letters})
		}
	}
	return r, nil
}

func (f deadLetterFlags) author() string {
	if f.By != "" {
		return f.By
	}
	name := "unknown"
	if who, err := user.Current(); err == nil {
		name = who.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// redriveCommand gives dead letters another try.
type redriveCommand struct {
	open.Flags
	deadLetterFlags
	cli.Output
	Rate   float64  `default:"10" placeholder:"N" help:"At most so many a second."`
	Reason []string `help:"Only those that are there for this reason (acs_reason); may be repeated."`
	ID     []string `name:"id" help:"Only the message with this id; may be repeated."`
	DryRun bool     `help:"Show what would be done, and do nothing."`
}

// verdictRow is what becomes of one dead letter.
type verdictRow struct {
	ID       string `json:"id"`
	Reason   string `json:"reason"`
	Redriven bool   `json:"redriven"`
	Deleted  bool   `json:"deleted"`
	Why      string `json:"why"`
}

func (c redriveCommand) Run(ctx context.Context, streams cli.Streams) error {
	if c.Rate <= 0 {
		return cli.Usagef("--rate is %g; it is a number of messages a second", c.Rate)
	}
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	defer func() { _ = db.Close() }()
	r, err := c.redriver(ctx, db)
	if err != nil {
		return err
	}
	r.DryRun, r.Match, r.Wait = c.DryRun, c.selects, rate.NewLimiter(rate.Limit(c.Rate), 1).Wait
	hidden, unknown := r.Hidden(ctx) // before this look hides them itself
	rows := []verdictRow{}
	var table [][]string
	err = r.Run(ctx, func(v deadletter.Verdict) {
		row := verdictRow{v.ID, v.Reason, v.Redriven, v.Deleted, v.Why}
		did := "left"
		switch {
		case v.Redriven:
			did = "redriven"
		case v.Deleted:
			did = "deleted"
		}
		if c.DryRun && did != "left" {
			did = "would be " + did
		}
		rows, table = append(rows, row), append(table, []string{row.ID, row.Reason, did, row.Why})
	})
	if printErr := c.Print(streams.Out, rows, []string{"ID", "REASON", "DONE", "WHY"}, table); err == nil {
		err = printErr
	}
	if err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	switch {
	case unknown != nil:
		_, _ = fmt.Fprintf(streams.Err, "whether others hide dead letters is not known: %v\n", unknown)
	case hidden > 0:
		_, _ = fmt.Fprintf(streams.Err, "%d dead letters could not be seen, for somebody else looks through them, or did and was stopped: look again in five minutes\n", hidden)
	}
	return nil
}

func (c redriveCommand) selects(letter deadletter.Letter) bool {
	return among(c.Reason, letter.Reason) && among(c.ID, letter.ID)
}

// among reports whether one is in list; an empty list has all.
func among(list []string, one string) bool {
	return len(list) == 0 || slices.Contains(list, one)
}
