package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/deadletter"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// deadLettersCommand shows dead letters, and removes those that nobody wants.
type deadLettersCommand struct {
	List    listDeadLetters    `cmd:"" default:"withargs" help:"List dead letters by reason, with what to do about each."`
	Show    showDeadLetter     `cmd:"" help:"Show one dead letter."`
	Discard discardDeadLetters `cmd:"" help:"Remove dead letters for good, and record who did it and why."`
}

// listDeadLetters groups them by reason, or lists those of some reasons.
type listDeadLetters struct {
	open.Flags
	deadLetterFlags
	cli.Output
	Reason []string `help:"List each letter with this reason; may be repeated."`
	Limit  int      `default:"1000" placeholder:"N" help:"Letters to read from each queue, at most; other people cannot see them meanwhile."`
}

// letterGroup is all letters of one reason.
type letterGroup struct {
	Reason  string                  `json:"reason"`
	Count   int                     `json:"count"`
	Oldest  time.Time               `json:"oldest"`
	Newest  time.Time               `json:"newest"`
	Example string                  `json:"example"` // the id of the newest
	Fates   map[deadletter.Fate]int `json:"redrive"` // what a redrive would do with them
	Advice  string                  `json:"advice"`
}

func (c listDeadLetters) Run(ctx context.Context, streams cli.Streams) error {
	if c.Limit < 1 {
		return cli.Usagef("--limit is %d; read at least 1", c.Limit)
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
	reader.Most, reader.Match = c.Limit, func(l deadletter.Letter) bool { return among(c.Reason, l.Reason) }
	visible, hidden, unknown := reader.Count(ctx)
	var letters []deadletter.Letter
	if err := reader.Read(ctx, func(l deadletter.Letter) { letters = append(letters, l) }); err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	slices.SortStableFunc(letters, func(a, b deadletter.Letter) int { return b.CameAt.Compare(a.CameAt) })
	if len(c.Reason) > 0 {
		err = c.printLetters(streams, letters)
	} else {
		err = c.printGroups(streams, groupLetters(letters))
	}
	tellHidden(streams, hidden, unknown)
	if visible > c.Limit {
		_, _ = fmt.Fprintf(streams.Err, "The queues hold about %d letters; %d were read. Raise --limit to read more.\n", visible, len(letters))
	}
	return err
}

// groupLetters groups letters, which are newest first, by reason; the largest group first.
func groupLetters(letters []deadletter.Letter) []letterGroup {
	byReason := map[string]*letterGroup{}
	for _, l := range letters {
		group := byReason[l.Reason]
		if group == nil {
			group = &letterGroup{Reason: l.Reason, Newest: l.CameAt, Example: l.ID, Fates: map[deadletter.Fate]int{}}
			byReason[l.Reason] = group
		}
		fate, _ := l.Fate()
		group.Count++
		group.Fates[fate]++
		group.Oldest = l.CameAt
	}
	groups := make([]letterGroup, 0, len(byReason))
	for _, group := range byReason {
		group.Advice = group.advice()
		groups = append(groups, *group)
	}
	slices.SortFunc(groups, func(a, b letterGroup) int { return cmp.Or(b.Count-a.Count, cmp.Compare(a.Reason, b.Reason)) })
	return groups
}

// advice is what to do about a group: a sentence for each fate in it.
func (g letterGroup) advice() string {
	discard := "worker deadletters discard --reason " + g.Reason + ` --because "…" --dry-run`
	redrive := "worker redrive --reason " + g.Reason
	sentences := map[deadletter.Fate]string{
		deadletter.Unreadable: "No worker understands them: have the producer correct the messages and send them anew, then discard these: " + discard + ".",
		deadletter.Reused:     "Their ids were used before with other content: have the producer send them anew with ids of their own, then discard these: " + discard + ".",
		deadletter.InDoubt:    "Nobody knows whether they were sent: find out at the provider, then decide about each: worker events resolve ID --sent or --not-sent.",
		deadletter.Settled:    "Their messages have ended since, and the letters are no longer needed: " + redrive + " deletes them.",
		deadletter.Redrivable: "Mend the cause (worker deadletters show " + g.Example + "), then try them again: " + redrive + ". Discard those that can never be sent: " + discard + ".",
	}
	if g.Reason == deadletter.MaxReceives {
		sentences[deadletter.Redrivable] = "Workers received them too often without finishing: check the workers (worker doctor, and their log), then try them again: " + redrive + "."
	}
	var parts []string
	for _, fate := range slices.Sorted(maps.Keys(g.Fates)) {
		part := sentences[fate]
		if len(g.Fates) > 1 {
			part = fmt.Sprintf("%d: %s", g.Fates[fate], part)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}

// printGroups prints a line for each reason, and beneath it what to do.
func (c listDeadLetters) printGroups(streams cli.Streams, groups []letterGroup) error {
	table := make([][]string, 0, len(groups))
	for _, g := range groups {
		table = append(table, []string{g.Reason, fmt.Sprint(g.Count), clock(g.Oldest), clock(g.Newest)})
	}
	if err := c.Print(streams.Out, groups, []string{"REASON", "LETTERS", "OLDEST", "NEWEST"}, table); err != nil || c.Output.Output != "table" {
		return err
	}
	for _, g := range groups {
		_, _ = fmt.Fprintf(streams.Out, "\n%s: %s\n", g.Reason, g.Advice)
	}
	return nil
}

// letterRow is one dead letter.
type letterRow struct {
	ID           string          `json:"id"`
	OwnID        string          `json:"own_id"`
	Reason       string          `json:"reason"`
	Problem      string          `json:"problem"` // what is wrong with the message, or what the provider said
	Queue        string          `json:"dead_letter_queue"`
	SQSMessageID string          `json:"sqs_message_id"`
	CameAt       time.Time       `json:"dead_since"`
	Receives     int             `json:"receives"`
	Status       string          `json:"status"` // its row's; empty: it has none
	Attempts     int             `json:"attempts"`
	Redrive      deadletter.Fate `json:"redrive"`
	Why          string          `json:"why"` // a redrive would not try it again
}

func letterRowOf(l deadletter.Letter) letterRow {
	fate, why := l.Fate()
	return letterRow{
		ID: l.ID, OwnID: l.OwnID, Reason: l.Reason, Problem: cmp.Or(l.Row.Error, l.Invalid), Queue: l.Queue, SQSMessageID: l.SQSMessageID,
		CameAt: l.CameAt, Receives: l.Receives, Status: string(l.Row.Status), Attempts: l.Row.Attempts, Redrive: fate, Why: why,
	}
}

func (c listDeadLetters) printLetters(streams cli.Streams, letters []deadletter.Letter) error {
	rows, table := make([]letterRow, 0, len(letters)), make([][]string, 0, len(letters))
	for _, l := range letters {
		row := letterRowOf(l)
		rows, table = append(rows, row), append(table, []string{clock(row.CameAt), row.ID, row.OwnID, row.Reason, string(row.Redrive), row.Problem})
	}
	return c.Print(streams.Out, rows, []string{"SINCE", "ID", "OWN ID", "REASON", "REDRIVE", "PROBLEM"}, table)
}

// showDeadLetter shows one.
type showDeadLetter struct {
	open.Flags
	deadLetterFlags
	cli.Output
	ID     string `arg:"" help:"The letter's id, the id in its body, or its SQS message id."`
	Reveal bool   `help:"Show the body and the producer's attributes; otherwise they are hidden."`
}

// shownLetter is letterRow with what the message carries.
type shownLetter struct {
	letterRow

	Attributes map[string]string `json:"message_attributes"` // values of ours; the producer's with --reveal
	Bytes      int               `json:"body_bytes"`
	Body       string            `json:"body,omitempty"` // with --reveal
}

func (c showDeadLetter) Run(ctx context.Context, streams cli.Streams) error {
	if c.ID == "" {
		return cli.Usagef("the letter's id is empty; `worker deadletters --reason REASON` lists them")
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
	reader.First, reader.Match = true, chooser{ID: []string{c.ID}}.selects
	_, hidden, unknown := reader.Count(ctx)
	var found *deadletter.Letter
	if err := reader.Read(ctx, func(l deadletter.Letter) { found = &l }); err != nil {
		return fmt.Errorf("show dead letter %s: %w", c.ID, err)
	}
	if found == nil {
		tellHidden(streams, hidden, unknown)
		return fmt.Errorf("show dead letter %s: %w on the dead-letter queues of channel %s; `worker events show %s` tells what is known of the message", c.ID, store.ErrNotFound, c.Channel, c.ID)
	}
	if found.Queue == "" && found.Body == "" {
		if err := loadKept(ctx, db, found); err != nil {
			return fmt.Errorf("show dead letter %s: %w", c.ID, err)
		}
	}
	return c.print(streams, *found)
}

// loadKept reads what a letter's row keeps.
func loadKept(ctx context.Context, db store.Store, letter *deadletter.Letter) error {
	kept, err := db.Kept(ctx, letter.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	letter.Body = kept.Body
	letter.Attributes, err = attribute.Decode(kept.Attributes)
	return err
}

func (c showDeadLetter) print(streams cli.Streams, l deadletter.Letter) error {
	value := shownLetter{letterRow: letterRowOf(l), Attributes: map[string]string{}, Bytes: len(l.Body.Reveal())}
	for name, a := range l.Attributes {
		value.Attributes[name] = "(hidden)"
		if c.Reveal || name == attribute.Key || name == attribute.Reason || name == attribute.Sent {
			value.Attributes[name] = attributeText(a.StringValue, a.BinaryValue)
		}
	}
	if c.Reveal {
		value.Body = l.Body.Reveal()
	}
	if c.Output.Output != "table" {
		return c.Print(streams.Out, value, nil, nil)
	}
	lines := [][2]string{
		{"ID", value.ID}, {"Own id", value.OwnID}, {"Reason", value.Reason}, {"Problem", value.Problem}, {"Dead since", clock(value.CameAt)},
		{"Queue", cmp.Or(value.Queue, "none: its row keeps it")}, {"SQS message", value.SQSMessageID}, {"Receives", fmt.Sprintf("%d from the dead-letter queue, this one included", value.Receives)},
		{"Event", eventLine(l.Row)}, {"Redrive", redriveLine(value.Redrive, value.Why)},
	}
	for _, name := range slices.Sorted(maps.Keys(value.Attributes)) {
		lines = append(lines, [2]string{"Attribute", name + " = " + value.Attributes[name]})
	}
	body := fmt.Sprintf("%d bytes; --reveal shows them", value.Bytes)
	if c.Reveal {
		body = value.Body
	}
	for _, line := range append(lines, [2]string{"Body", body}) {
		if line[1] != "" {
			_, _ = fmt.Fprintf(streams.Out, "%-12s %s\n", line[0]+":", line[1])
		}
	}
	return nil
}

func attributeText(text *string, binary []byte) string {
	if text == nil {
		return fmt.Sprintf("%d bytes", len(binary))
	}
	return *text
}

// eventLine tells where a letter's message stands.
func eventLine(row store.Event) string {
	if row.ID == "" {
		return "none: no worker has claimed it"
	}
	return fmt.Sprintf("%s after %d attempts (worker events show %s)", row.Status, row.Attempts, row.ID)
}

func redriveLine(fate deadletter.Fate, why string) string {
	switch fate {
	case deadletter.Redrivable:
		return "would try it again"
	case deadletter.Settled:
		return "would delete the letter: " + why
	case deadletter.InDoubt, deadletter.Reused, deadletter.Unreadable:
	}
	return "would leave it: " + why
}

// discardDeadLetters removes letters.
type discardDeadLetters struct {
	open.Flags
	deadLetterFlags
	chooser
	cli.Output
	Because string  `required:"" placeholder:"TEXT" help:"Why they are not wanted; it stands in the history."`
	Rate    float64 `default:"10" placeholder:"N" help:"Letters a second, at most."`
	DryRun  bool    `xor:"word" help:"Show what would be done, and do nothing."`
	Yes     bool    `xor:"word" help:"Do it. Without it, --dry-run is required."`
}

func (c discardDeadLetters) Run(ctx context.Context, streams cli.Streams) error {
	if err := c.check(); err != nil {
		return err
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
	discarder := deadletter.Discarder{Reader: reader, By: c.author(), Because: c.Because, DryRun: c.DryRun, Wait: rate.NewLimiter(rate.Limit(c.Rate), 1).Wait}
	_, hidden, unknown := reader.Count(ctx)
	verdicts := verdicts{dryRun: c.DryRun}
	err = discarder.Run(ctx, verdicts.add)
	if err := verdicts.print(streams, c.Output, err); err != nil {
		return fmt.Errorf("discard dead letters: %w", err)
	}
	tellHidden(streams, hidden, unknown)
	return verdicts.missing("discard dead letters", c.ID)
}

func (c discardDeadLetters) check() error {
	const longest = 500
	switch {
	case len(c.Reason) == 0 && len(c.ID) == 0:
		return cli.Usagef("name the letters to discard by --reason or --id; `worker deadletters` lists the reasons")
	case slices.Contains(c.Reason, "") || slices.Contains(c.ID, ""):
		return cli.Usagef("--reason or --id is empty; `worker deadletters` lists the reasons")
	case strings.TrimSpace(c.Because) == "" || len(c.Because) > longest:
		return cli.Usagef("--because is empty or longer than %d bytes; say why the letters are not wanted", longest)
	case !c.DryRun && !c.Yes:
		return cli.Usagef("a discarded letter cannot be brought back: look at it with --dry-run first, then repeat the command with --yes")
	case c.Rate <= 0:
		return cli.Usagef("--rate is %g; it is a number of letters a second", c.Rate)
	}
	return nil
}
