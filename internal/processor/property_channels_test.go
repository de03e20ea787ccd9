package processor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// Mails and pushes cannot be asked about. Workers die at every use of the store
// and of the provider, hang with an answer on its way, and get copies; people
// redrive what failed, and SES's events come when they like. Where the policy
// holds what is in doubt, nothing is accepted twice; where it has pushes sent
// again, no device is that is known to have it.
func TestAMailIsAcceptedOnceAndNeverLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { newLife(t, rt, "email").live(rt) })
}

func TestADeviceIsPushedToOnceAndNeverForgotten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) { newLife(t, rt, "push").live(rt) })
}

// life is one run.
type life struct {
	*bench

	channel  string
	resend   bool
	ids      []string
	queue    map[string]int // copies by id
	dead     map[string]bool
	reported map[string]bool
	devices  map[string][]string
	owners   int
	nested   int
}

func newLife(t *testing.T, rt *rapid.T, channel string) *life {
	t.Helper()
	l := &life{
		bench: newBench(t), channel: channel, queue: map[string]int{}, dead: map[string]bool{}, reported: map[string]bool{},
		resend: channel == "push" && rapid.Bool().Draw(rt, "resend"), devices: map[string][]string{},
	}
	l.sender.findError = provider.ErrNoLookup
	l.sender.accepting = func(m *message.Message) { l.allowed(rt, m) }
	for i := range rapid.IntRange(1, 2).Draw(rt, "messages") {
		id := string(rune('a' + i))
		l.ids, l.queue[id] = append(l.ids, id), 1
		for n := range rapid.IntRange(1, 3).Draw(rt, "devices") {
			l.devices[id] = append(l.devices[id], fmt.Sprintf("%s-%d", id, n))
		}
	}
	return l
}

// born is another worker, which dies after so many uses of the world.
func (l *life) born(uses int, heard bool) *Processor {
	l.owners++
	m := &mortal{Messages: l.store, sender: l.sender, left: uses, heard: heard}
	return l.worker(fmt.Sprintf("worker-%d", l.owners), func(o *Options) {
		o.Store, o.MaxAttempts, o.tokensAtOnce = m, 3, 1
		o.Senders = map[message.Channel]provider.Sender{message.Email: m, message.Push: m}
		o.Resend = func(*message.Message) bool { return l.resend }
	})
}

const immortal = 1 << 30

func (l *life) message(id string) consumer.Received {
	body := `{"id":"` + id + `","type":"message_send","to":"` + id + `@example.com","subject":"S","body":"Hello"}`
	if l.channel == "push" {
		body = `{"id":"` + id + `","type":"message_send","body":"Hello","tokens":["` + strings.Join(l.devices[id], `","`) + `"]}`
	}
	r := received(body)
	r.Queue, r.MessageID = consumer.Queue{Name: l.channel + "-events", Channel: l.channel}, "sqs-"+id
	return r
}

// allowed judges an acceptance by what the store knows at that moment.
func (l *life) allowed(rt *rapid.T, m *message.Message) {
	if event := l.event(m.ID); event.Status != store.Processing {
		rt.Fatalf("%s is accepted while its row is %s\n%s", m.ID, event.Status, l.logs)
	}
	for _, token := range m.Tokens {
		for _, known := range l.tokens(rt, m.ID) {
			if known.Hash == store.TokenHash(token) && known.Outcome != "" {
				rt.Fatalf("%s is accepted for a device that is %s\n%s", m.ID, known.Outcome, l.logs)
			}
		}
	}
}

func (l *life) tokens(rt *rapid.T, id string) []store.Token {
	tokens, err := l.store.Tokens(l.t.Context(), id)
	if err != nil {
		rt.Fatal(err)
	}
	return tokens
}

func (l *life) live(rt *rapid.T) {
	for range rapid.IntRange(1, 40).Draw(rt, "steps") {
		l.step(rt)
	}
	for range 12 {
		l.carryBack()
		for _, id := range l.ids {
			for range l.queue[id] {
				l.run(l.born(immortal, false), id, l.message(id), true)
			}
		}
		l.clock.turn(lapse)
	}
	for _, id := range l.ids {
		l.check(rt, id)
	}
}

// step is one thing that happens.
func (l *life) step(rt *rapid.T) {
	id := rapid.SampledFrom(l.ids).Draw(rt, "id")
	l.sender.next = []func(*fakeSender, *message.Message) error{l.answer(rt), l.answer(rt), l.answer(rt)}
	switch rapid.SampledFrom([]string{"handle", "handle", "last receive", "die", "die", "die", "hang", "carry", "redrive", "report", "lapse"}).Draw(rt, "step") {
	case "handle":
		l.run(l.born(immortal, false), id, l.message(id), true)
	case "last receive":
		l.run(l.born(immortal, false), id, nearly(l.message(id)), true)
	case "die":
		worker := l.born(rapid.IntRange(0, 14).Draw(rt, "uses"), rapid.Bool().Draw(rt, "heard"))
		l.run(worker, id, l.message(id), false) // SQS hears nothing of it
	case "hang":
		l.hang(rt, id)
	case "carry":
		l.carryBack()
	case "redrive":
		l.redrive(rt, id)
	case "report":
		l.report(id)
	case "lapse":
		l.clock.turn(lapse)
	}
	l.sender.next = nil
}

// run delivers a message, or one more copy where its queue has none; concluded:
// the queue hears what became of it.
func (l *life) run(worker *Processor, id string, r consumer.Received, concluded bool) {
	l.queue[id] = max(l.queue[id], 1)
	if outcome := worker.Prepare(l.t.Context(), []consumer.Received{r})[0](l.t.Context()); concluded {
		switch outcome.Action {
		case consumer.DeadLetter:
			l.dead[id] = true
			fallthrough
		case consumer.Delete, consumer.Park:
			l.queue[id] = max(l.queue[id]-1, 0)
		case consumer.Retry, consumer.HandBack:
		}
	}
}

// hang has other things happen while an answer is on its way.
func (l *life) hang(rt *rapid.T, id string) {
	if l.nested > 1 {
		return
	}
	l.sender.after = func() {
		l.sender.after = nil
		l.nested++
		defer func() { l.nested-- }()
		for range rapid.IntRange(1, 3).Draw(rt, "meanwhile") {
			l.step(rt)
		}
	}
	l.run(l.born(immortal, false), id, l.message(id), true)
	l.sender.after = nil
}

func (l *life) carryBack() {
	due, err := l.store.LeaseDue(l.t.Context(), []string{l.channel + "-events"}, lapse, 10)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range due {
		l.queue[d.ID]++
	}
	if err := l.store.Unpark(l.t.Context(), due); err != nil {
		l.t.Fatal(err)
	}
}

// redrive is a person's: what failed, as worker redrive has it, and what is in
// doubt and was not accepted, as events resolve --not-sent has it.
func (l *life) redrive(rt *rapid.T, id string) {
	event := l.event(id)
	failed := event.Status == store.Failed && event.SentAt.IsZero()
	notSent := event.Status == store.InDoubt && !slices.ContainsFunc(l.sender.accepted, func(a acceptance) bool { return a.key == id })
	if !l.dead[id] || !failed && !notSent {
		return
	}
	if err := l.store.Resolve(l.t.Context(), store.Resolution{ID: id, From: event.Status, By: "p", Reason: "again"}); err != nil {
		rt.Fatal(err)
	}
	l.clock.turn(lapse)
	l.dead[id] = false
	l.queue[id]++
}

// report is SES's event about a mail that it has accepted.
func (l *life) report(id string) {
	for _, a := range l.sender.accepted {
		if a.key != id || l.channel != "email" {
			continue
		}
		r := l.message(id)
		r.MessageID, r.Body = "sqs-report", `{"eventType":"Send","mail":{"messageId":"`+a.sid+`","timestamp":"T","tags":{"acs_id":["`+id+`"]}},"send":{}}`
		l.born(immortal, false).Prepare(l.t.Context(), []consumer.Received{r})[0](l.t.Context())
		l.reported[id] = true
	}
}

// answer is what the provider says to the next send, and whether it took it.
func (l *life) answer(rt *rapid.T) func(*fakeSender, *message.Message) error {
	answers := []func(*fakeSender, *message.Message) error{
		func(*fakeSender, *message.Message) error { return nil }, func(*fakeSender, *message.Message) error { return nil },
		refuses(provider.InDoubt, "", true), refuses(provider.InDoubt, "", false), refuses(provider.Throttled, "", false), refuses(provider.Transient, "", false),
		refuses(provider.Config, "", false), refuses(provider.Permanent, "", false), refuses(provider.Suppress, "", false),
	}
	return answers[rapid.IntRange(0, len(answers)-1).Draw(rt, "answer")]
}

// check holds what became of a message to what was accepted.
func (l *life) check(rt *rapid.T, id string) {
	event, accepted := l.event(id), map[redact.Personal]int{}
	for _, a := range l.sender.accepted {
		if a.key == id {
			accepted[redact.Personal(a.to)]++
		}
	}
	kept := event.Status == store.Failed || event.Status == store.InDoubt
	switch {
	case l.queue[id] > 0 || !event.DueAt.IsZero() || !event.Status.Settled():
		rt.Fatalf("%s is not settled: on the queue %d, row %+v\n%s", id, l.queue[id], event, l.logs)
	case kept && !l.dead[id]:
		rt.Fatalf("%s is %s, and no dead letter has it\n%s", id, event.Status, l.logs)
	case event.Status == store.Sent && len(accepted) == 0:
		rt.Fatalf("%s is sent, and nobody has it\n%s", id, l.logs)
	case !l.resend && !event.Status.Left() && event.Status != store.InDoubt && len(accepted) > 0:
		rt.Fatalf("%s is %s, and was accepted: %v\n%s", id, event.Status, accepted, l.logs)
	}
	for to, n := range accepted {
		if n > 1 && !l.resend {
			rt.Fatalf("%s was accepted %d times for %q\n%s", id, n, to.Reveal(), l.logs)
		}
	}
	for _, device := range l.devices[id] {
		if l.channel == "push" && event.Status == store.Sent && accepted[redact.Personal(device)] == 0 {
			l.explained(rt, event, device)
		}
	}
}

// explained wants the reason for which a device of a push that was sent has
// nothing.
func (l *life) explained(rt *rapid.T, event store.Event, device string) {
	for _, known := range l.tokens(rt, event.ID) {
		if known.Hash == store.TokenHash(redact.Personal(device)) && (known.Outcome == tokenFailed || known.Outcome == tokenSuppressed || known.Outcome == tokenInDoubt) {
			return
		}
	}
	if !strings.Contains(event.SettledReason, "given up") && !strings.Contains(event.SettledReason, "dead") { // a token that was suppressed as its worker died
		rt.Fatalf("nothing tells why %s of %s has nothing: %s, %+v\n%s", device, event.ID, event.SettledReason, l.tokens(rt, event.ID), l.logs)
	}
}
