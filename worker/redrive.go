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
	SMSQueueURL   string `env:"SMS_QUEUE_URL" name:"sms-queue-url" placeholder:"URL,…" help:"The queues of texts, separated by commas."`
	EmailQueueURL string `env:"EMAIL_QUEUE_URL" name:"email-queue-url" placeholder:"URL,…" help:"The queues of mails."`
	PushQueueURL  string `env:"PUSH_QUEUE_URL" name:"push-queue-url" placeholder:"URL,…" help:"The queues of pushes."`
	DeadLetterURL string `name:"dead-letter-url" help:"The dead-letter queue; its letters go back to the first queue. Without it, the queues' redrive policies name it."`
	By            string `help:"Who does it, for the history; without it, the user and the machine."`
}

// reader is prepared for the channel's queues, each with its own dead letters.
// Where several queues share one, and where a person names one, the first of the
// list is where messages go.
func (f deadLetterFlags) reader(ctx context.Context, db store.Store) (deadletter.Reader, error) {
	queues := strings.FieldsFunc(map[string]string{"sms": f.SMSQueueURL, "email": f.EmailQueueURL, "push": f.PushQueueURL}[f.Channel],
		func(r rune) bool { return r == ',' || r == ' ' })
	if len(queues) == 0 {
		return deadletter.Reader{}, cli.Usagef("%s_QUEUE_URL is not set: name the queue whose dead letters are meant", strings.ToUpper(f.Channel))
	}
	config, err := awsclient.Load(ctx)
	if err != nil {
		return deadletter.Reader{}, &cli.UsageError{Err: err}
	}
	client := sqs.NewFromConfig(config)
	r := deadletter.Reader{Store: db, SQS: client, Channel: message.Channel(f.Channel)}
	if f.DeadLetterURL != "" {
		r.Sources = []deadletter.Source{{Queue: queues[0], DeadLetters: f.DeadLetterURL}}
		return r, nil
	}
	for _, queue := range queues {
		letters, err := deadletter.Find(ctx, client, queue)
		switch {
		case errors.Is(err, deadletter.ErrNone):
		case err != nil:
			return r, err
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

// chooser selects dead letters by their reasons and ids.
type chooser struct {
	Reason []string `help:"Only letters with this reason, as worker deadletters lists it; may be repeated."`
	ID     []string `name:"id" help:"Only the letter with this id; may be repeated."`
}

// selects goes by the id that a letter is filed under, by the one in its body, and by
// the one that SQS gave it.
func (c chooser) selects(letter deadletter.Letter) bool {
	return among(c.Reason, letter.Reason) && (among(c.ID, letter.ID) || among(c.ID, letter.OwnID) || among(c.ID, letter.SQSMessageID))
}

// among reports whether one is in list; an empty list has all.
func among(list []string, one string) bool {
	return len(list) == 0 || slices.Contains(list, one)
}

// redriveCommand gives dead letters another try.
type redriveCommand struct {
	open.Flags
	deadLetterFlags
	chooser
	cli.Output
	Rate   float64 `default:"10" placeholder:"N" help:"Letters a second, at most."`
	DryRun bool    `help:"Show what would be done, and do nothing."`
}

// verdictRow is what becomes of one dead letter.
type verdictRow struct {
	ID        string `json:"id"`
	Reason    string `json:"reason"`
	Redriven  bool   `json:"redriven"`
	Deleted   bool   `json:"deleted"`
	Discarded bool   `json:"discarded"`
	Why       string `json:"why"`
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
	reader, err := c.reader(ctx, db)
	if err != nil {
		return err
	}
	reader.Match = c.selects
	redriver := deadletter.Redriver{Reader: reader, By: c.author(), DryRun: c.DryRun, Wait: rate.NewLimiter(rate.Limit(c.Rate), 1).Wait}
	_, hidden, unknown := reader.Count(ctx) // before this look hides them itself
	verdicts := verdicts{dryRun: c.DryRun}
	err = redriver.Run(ctx, verdicts.add)
	if err := verdicts.print(streams, c.Output, err); err != nil {
		return fmt.Errorf("redrive: %w", err)
	}
	tellHidden(streams, hidden, unknown)
	return verdicts.missing("redrive", c.ID)
}

// verdicts collects what becomes of each letter, for print.
type verdicts struct {
	dryRun  bool
	rows    []verdictRow
	skipped int
	names   []string // by which the selected letters may be called
}

func (v *verdicts) add(one deadletter.Verdict) {
	if one.Skipped {
		v.skipped++
		return
	}
	v.names = append(v.names, one.ID, one.OwnID, one.SQSMessageID)
	v.rows = append(v.rows, verdictRow{one.ID, one.Reason, one.Redriven, one.Deleted, one.Discarded, one.Why})
}

// print shows what was done, also before a run failed with err, which it returns.
func (v *verdicts) print(streams cli.Streams, output cli.Output, err error) error {
	rows, table := make([]verdictRow, 0, len(v.rows)), make([][]string, 0, len(v.rows))
	for _, row := range v.rows {
		did := "left"
		switch {
		case row.Redriven:
			did = "redriven"
		case row.Discarded:
			did = "discarded"
		case row.Deleted:
			did = "deleted"
		}
		if v.dryRun && did != "left" {
			did = "would be " + did
		}
		rows, table = append(rows, row), append(table, []string{row.ID, row.Reason, did, row.Why})
	}
	if printErr := output.Print(streams.Out, rows, []string{"ID", "REASON", "DONE", "WHY"}, table); err == nil {
		err = printErr
	}
	if v.skipped > 0 {
		_, _ = fmt.Fprintf(streams.Err, "Dead letters that were not selected: %d.\n", v.skipped)
	}
	return err
}

// missing is the error of ids that no dead letter has.
func (v *verdicts) missing(verb string, ids []string) error {
	for _, id := range ids {
		if !slices.Contains(v.names, id) {
			return fmt.Errorf("%s: no dead letter that was selected has the id %q; `worker deadletters` lists them, and `worker events show %s` tells what is known of a message", verb, id, id)
		}
	}
	return nil
}

// tellHidden says which letters a look could not see.
func tellHidden(streams cli.Streams, hidden int, unknown error) {
	switch {
	case unknown != nil:
		_, _ = fmt.Fprintf(streams.Err, "Some dead letters may be hidden by another look at the queue: %v\n", unknown)
	case hidden > 0:
		_, _ = fmt.Fprintf(streams.Err, "%d dead letters could not be seen: somebody else is looking at them, or was stopped while looking. Try again in five minutes.\n", hidden)
	}
}
