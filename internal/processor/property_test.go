package processor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// TestNeverTwoAcceptedSendsAndNoneLost plays workers that die at any point or
// hang with an answer on its way while others go on, providers that answer
// anything, a store that comes and goes, and messages that are delivered again
// and again, in copies too, and parked and carried back. What SQS would still
// hold is never forgotten: the run ends when every message is deleted or
// dead-lettered, and none is parked.
//
// Twins say the same to one person: which of two texts belongs to which of two
// messages cannot be told, and does not matter, as long as it is one a message.
func TestNeverTwoAcceptedSendsAndNoneLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		run := newRun(t, rt)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			run.step(rt)
		}
		run.finish(rt)
	})
}

// play is one run: the queue is the messages and copies that are not deleted.
type play struct {
	*bench

	workers []*Processor
	twins   bool
	queue   map[string]int // copies by id, and by "*" and id what points to a row
	dead    map[string]bool
	whole   map[string]bool // dead letters that need no row
	ids     []string
	nested  int // steps under way
}

func newRun(t *testing.T, rt *rapid.T) *play {
	t.Helper()
	p := &play{
		bench: newBench(t), twins: rapid.Bool().Draw(rt, "twins"), queue: map[string]int{}, dead: map[string]bool{}, whole: map[string]bool{},
	}
	for i := range 3 {
		p.workers = append(p.workers, p.worker(fmt.Sprintf("worker-%d", i), func(o *Options) { o.MaxAttempts = 3 }))
	}
	for i := range rapid.IntRange(1, 3).Draw(rt, "messages") {
		id := string(rune('a' + i))
		p.ids, p.queue[id] = append(p.ids, id), 1
	}
	return p
}

func (p *play) message(id string) consumer.Received {
	if row, points := strings.CutPrefix(id, "*"); points {
		r := received(attribute.Pointer)
		r.MessageID, r.Key = "pointer-"+row, row
		return r
	}
	r := received(`{"id":"` + id + `","type":"message_send","to":"` + person + `","body":"` + p.body(id) + `"}`)
	r.MessageID = "sqs-" + id
	return r
}

func (p *play) body(id string) string {
	if p.twins {
		return "Hello"
	}
	return "Hello " + id
}

// step is one thing that happens.
func (p *play) step(rt *rapid.T) {
	worker := p.workers[rapid.IntRange(1, 2).Draw(rt, "worker")]
	id := rapid.SampledFrom(p.ids).Draw(rt, "id")
	if p.queue["*"+id] > 0 && rapid.Bool().Draw(rt, "pointer") {
		id = "*" + id
	}
	switch rapid.SampledFrom([]string{"handle", "handle", "last receive", "overlap", "die before", "die after", "carry", "carry twice", "wait", "lapse"}).Draw(rt, "step") {
	case "handle":
		p.sender.next = []func(*fakeSender, *message.Message) error{p.answer(rt)}
		p.settle(id, p.deliver(worker, p.message(id)))
	case "last receive":
		p.sender.next = []func(*fakeSender, *message.Message) error{p.answer(rt)}
		p.settle(id, p.deliver(worker, nearly(p.message(id))))
	case "overlap":
		p.overlap(rt, worker, id)
	case "carry":
		p.carryBack(1, true, rapid.Bool().Draw(rt, "points"))
	case "carry twice": // its worker dies before it marks what it put back
		p.carryBack(1, false, rapid.Bool().Draw(rt, "points"))
	case "die before": // claimed, never run
		worker.Prepare(p.t.Context(), []consumer.Received{p.message(id)})
	case "die after": // run, but neither the settlement nor the outcome arrives
		p.sender.next = []func(*fakeSender, *message.Message) error{p.answer(rt)}
		job := p.workers[0].Prepare(p.t.Context(), []consumer.Received{p.message(id)})[0]
		p.store.set("Settle", 1_000_000)
		p.workers[0].StoreTimeout = time.Microsecond
		job(p.t.Context())
		p.workers[0].StoreTimeout = time.Second
		p.store.set("Settle", 0)
	case "wait":
		p.clock.turn(5 * time.Second)
	case "lapse":
		p.clock.turn(lapse)
	}
	p.sender.next = nil
	p.check(rt)
}

// overlap has other things happen while the provider has taken a text, or not,
// and its answer is still to come: to a worker that may wake up far too late.
func (p *play) overlap(rt *rapid.T, worker *Processor, id string) {
	const deepest = 2
	if p.nested >= deepest {
		return
	}
	answer := p.answer(rt)
	p.sender.next = []func(*fakeSender, *message.Message) error{func(f *fakeSender, m *message.Message) error {
		err := answer(f, m)
		if err != nil {
			return err
		}
		f.after = func() {
			f.after = nil
			p.nested++
			defer func() { p.nested-- }()
			for range rapid.IntRange(1, 3).Draw(rt, "meanwhile") {
				p.step(rt)
			}
		}
		return nil
	}}
	outcome := p.deliver(worker, p.message(id))
	p.sender.after = nil
	p.settle(id, outcome)
}

// carryBack puts what is due back on the queue, whole or as what points to its row.
func (p *play) carryBack(copies int, marked, points bool) {
	due, err := p.store.LeaseDue(p.t.Context(), []string{"sms-events"}, time.Minute, 10)
	if err != nil {
		p.t.Fatal(err)
	}
	for i, d := range due {
		due[i].Points = points
		if points {
			d.ID = "*" + d.ID
		}
		p.queue[d.ID] += copies
	}
	if marked {
		if err := p.store.Unpark(p.t.Context(), due); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *play) deliver(worker *Processor, r consumer.Received) consumer.Outcome {
	return worker.Prepare(p.t.Context(), []consumer.Received{r})[0](p.t.Context())
}

// answer is what the provider says to the next send, and whether it took it.
func (p *play) answer(rt *rapid.T) func(*fakeSender, *message.Message) error {
	switch rapid.SampledFrom([]string{"ok", "doubt, taken", "doubt, not taken", "throttled", "transient", "config"}).Draw(rt, "answer") {
	case "doubt, taken":
		return refuses(provider.InDoubt, "", true)
	case "doubt, not taken":
		return refuses(provider.InDoubt, "", false)
	case "throttled":
		return refuses(provider.Throttled, "", false)
	case "transient":
		return refuses(provider.Transient, "", false)
	case "config":
		return refuses(provider.Config, "", false)
	}
	return func(*fakeSender, *message.Message) error { return nil }
}

func (p *play) settle(id string, outcome consumer.Outcome) {
	switch outcome.Action {
	case consumer.Delete, consumer.Park:
		p.queue[id] = max(p.queue[id]-1, 0)
	case consumer.DeadLetter:
		p.queue[id] = max(p.queue[id]-1, 0)
		row, points := strings.CutPrefix(id, "*")
		p.dead[row], p.whole[row] = true, p.whole[row] || !points
	case consumer.Retry, consumer.HandBack:
	}
}

// texts counts what the recipient got, by what it says.
func (p *play) texts() map[string]int {
	texts := map[string]int{}
	for _, a := range p.sender.accepted {
		texts[a.body]++
	}
	return texts
}

// check allows one text a message.
func (p *play) check(rt *rapid.T) {
	allowed := map[string]int{}
	for _, id := range p.ids {
		allowed[p.body(id)]++
	}
	for body, n := range p.texts() {
		if n > allowed[body] {
			rt.Fatalf("%d texts say what %d messages say: %+v\n%s", n, allowed[body], p.sender.accepted, p.logs)
		}
	}
}

// finish lets what is left go its way undisturbed, and then finds each message
// sent, once, or on the dead-letter queue.
func (p *play) finish(rt *rapid.T) {
	for range 20 {
		p.carryBack(1, true, false)
		for _, id := range p.ids {
			for _, id := range []string{id, "*" + id} {
				for range p.queue[id] {
					p.settle(id, p.deliver(p.workers[1], p.message(id)))
				}
			}
		}
		p.clock.turn(lapse)
	}
	p.check(rt)
	texts, settledAs := p.texts(), map[string]string{}
	for _, id := range p.ids {
		event := p.event(id)
		if _, err := p.store.Kept(p.t.Context(), id); p.dead[id] && !p.whole[id] && err != nil {
			rt.Fatalf("what points to %s is a dead letter, and its row keeps nothing: %v\n%s", id, err, p.logs)
		}
		if p.queue[id] > 0 || p.queue["*"+id] > 0 || !event.DueAt.IsZero() || (event.Status == store.Sent) == p.dead[id] {
			rt.Fatalf("%s: on the queue %d, dead %v, row %+v\n%s", id, p.queue[id], p.dead[id], event, p.logs)
		}
		if event.Status != store.Sent {
			continue
		}
		texts[p.body(id)]--
		if other := settledAs[event.ProviderID]; other != "" {
			rt.Fatalf("%s and %s are settled as one text %s\n%s", id, other, event.ProviderID, p.logs)
		}
		settledAs[event.ProviderID] = id
	}
	for body, n := range texts {
		if n != 0 {
			rt.Fatalf("%+d texts more than messages sent say %q\n%s", n, body, p.logs)
		}
	}
}
