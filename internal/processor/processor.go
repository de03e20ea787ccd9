package processor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/attribute"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// Limiter holds a send back until its channel's rate allows it.
type Limiter interface {
	// Wait waits for a turn, which goes to a lower rank (consumer.Queue.Rank)
	// first. It returns an error where ctx ends before, or where it would be long.
	Wait(ctx context.Context, rank int) error
}

// Options are what a Processor needs to know. Store and Owner are required;
// zero values of the others are the defaults named.
type Options struct {
	Store    store.Messages
	Senders  map[message.Channel]provider.Sender
	Limiters map[message.Channel]Limiter // none: the rate that Rules say, shared by all workers
	Owner    string                      // unique among all workers that ever were
	// Lease is how long a claim holds: 60 s. It is raised to twice the longer
	// of ProviderTimeout and ProviderSettles where it is shorter.
	Lease           time.Duration
	ProviderTimeout time.Duration // of one send: 28 s
	// ProviderSettles is how long a provider may still work on a call that
	// its client gave up: 30 s (Twilio: about 26 s).
	ProviderSettles time.Duration
	LookupTimeout   time.Duration // of asking a provider what it has: 25 s, so that a lease has time for a send after it
	StoreTimeout    time.Duration // of one use of the store, repeats included: 10 s
	MaxAttempts     int           // transient refusals before a message fails: 8
	// ParkAfter is the longest wait that a message spends on its queue; what
	// waits longer is parked in its row: 1 min.
	ParkAfter time.Duration
	// Rules are what the DeliveryPolicy says, now, of a channel; nil: its
	// defaults, with MaxAttempts. It is called for each message.
	Rules func(message.Channel) config.ChannelSpec
	// Resend says whether a message is sent again that a provider cannot be
	// asked about; otherwise it is held for a person. nil: as Rules say.
	Resend func(*message.Message) bool
	// Webhooks verifies what was posted to an HTTP gateway; nil: nothing of it
	// is believed.
	Webhooks Verifier
	// KeepBodies keeps bodies in the history (HISTORY_BODIES); otherwise their
	// hashes are.
	KeepBodies bool
	Now        func() time.Time
	Random     func() float64 // in [0, 1), for jitter
	Logger     *slog.Logger   // nil: slog.Default()

	// tokensAtOnce is how many devices of one push are written to at once, and
	// so how many a crash can leave in doubt: 20.
	tokensAtOnce int
}

func (o Options) withDefaults() Options {
	o.ProviderTimeout = cmp.Or(o.ProviderTimeout, 28*time.Second)
	o.ProviderSettles = cmp.Or(o.ProviderSettles, 30*time.Second)
	o.Lease = max(cmp.Or(o.Lease, time.Minute), 2*max(o.ProviderTimeout, o.ProviderSettles))
	o.LookupTimeout = cmp.Or(o.LookupTimeout, 25*time.Second)
	o.StoreTimeout = cmp.Or(o.StoreTimeout, 10*time.Second)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 8)
	o.ParkAfter = cmp.Or(o.ParkAfter, time.Minute)
	o.tokensAtOnce = cmp.Or(o.tokensAtOnce, 20)
	if o.Rules == nil {
		o.Rules = defaultRules(o.MaxAttempts)
	}
	if o.Resend == nil {
		o.Resend = resends(o.Rules)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	o.Logger = cmp.Or(o.Logger, slog.Default())
	return o
}

// Processor turns received messages into effects and rows. It is safe for
// concurrent use. A restart loses only the claims that Unclaim would give back,
// which are then resolved like any dead worker's.
type Processor struct {
	Options

	calls *calls

	mu          sync.Mutex
	lost        []store.Claim      // by ID and Token: claims whose answers never came
	lostDevices []store.TokenClaim // by EventID and Token: the same of devices
	refusals    map[string]refusal // by provider, and by code where others of its sends go on
}

var _ consumer.Handler = (*Processor)(nil)

// New makes a Processor.
func New(o Options) *Processor {
	o = o.withDefaults()
	limiters := map[message.Channel]Limiter{}
	for _, channel := range []message.Channel{message.SMS, message.Email, message.Push} {
		limiters[channel] = &sharedRate{
			store: o.Store, channel: channel, timeout: o.StoreTimeout,
			perSecond: func() float64 { return o.Rules(channel).RateLimit },
		}
	}
	maps.Copy(limiters, o.Limiters)
	o.Limiters = limiters
	return &Processor{Options: o, calls: newCalls(), refusals: map[string]refusal{}}
}

// router is a Sender that has others deliver, by the message.
type router interface {
	Route(m *message.Message) provider.Sender // nil: none is configured
}

// senderOf is who delivers a message; nil: nobody is configured.
func (p *Processor) senderOf(m *message.Message) provider.Sender {
	if routes, ok := p.Senders[m.Channel].(router); ok {
		return routes.Route(m)
	}
	return p.Senders[m.Channel]
}

// Prepare implements consumer.Handler: it parses the batch and claims all of
// its sends in one statement.
func (p *Processor) Prepare(ctx context.Context, batch []consumer.Received) []consumer.Job {
	jobs := make([]consumer.Job, len(batch))
	var sends []*send
	var places []int
	for i := range batch {
		received := &batch[i]
		if received.Webhook != nil {
			jobs[i] = func(ctx context.Context) consumer.Outcome { return p.webhook(ctx, *received) }
			continue
		}
		if received.Body == attribute.Pointer && received.Key != "" {
			if outcome := p.follow(ctx, received); outcome != nil {
				jobs[i] = func(context.Context) consumer.Outcome { return *outcome }
				continue
			}
		}
		m, err := message.Parse([]byte(received.Body), received.Key, received.MessageID, message.Channel(received.Queue.Channel))
		switch {
		case err != nil:
			jobs[i] = func(ctx context.Context) consumer.Outcome { return p.refuse(ctx, *received, err) }
		case m.Type == message.Received:
			jobs[i] = p.item(*received, m).receive
		case m.Type == message.Status:
			jobs[i] = p.item(*received, m).report
		default:
			sender := p.senderOf(m)
			if sender == nil {
				jobs[i] = p.item(*received, m).withoutSender
				continue
			}
			s := &send{item: *p.item(*received, m), sender: sender}
			sends, places, jobs[i] = append(sends, s), append(places, i), s.run
		}
	}
	if outcome := p.claim(ctx, sends); outcome != nil {
		for _, i := range places {
			jobs[i] = func(context.Context) consumer.Outcome { return *outcome }
		}
	}
	return jobs
}

// follow puts the message that its row keeps in the place of a pointer, or says what
// becomes of that. A row that keeps nothing has ended, or a full copy is on its way.
func (p *Processor) follow(ctx context.Context, received *consumer.Received) *consumer.Outcome {
	bounded, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	kept, err := p.Store.Kept(bounded, received.Key)
	one := p.item(*received, &message.Message{ID: received.Key, Channel: message.Channel(received.Queue.Channel)})
	var outcome consumer.Outcome
	switch {
	case errors.Is(err, store.ErrNotFound):
		one.log().InfoContext(ctx, "its row keeps no message any more")
		outcome = consumer.Outcome{Action: consumer.Delete}
	case err != nil:
		outcome = one.storeDown(ctx, "read", err)
	default:
		var attributes attribute.Set
		if attributes, err = attribute.Decode(kept.Attributes); err != nil {
			outcome = one.storeDown(ctx, "read", err)
			break
		}
		received.Body, received.Attributes, received.GroupID, received.Pointed = kept.Body.Reveal(), attributes, kept.GroupID, true
		return nil
	}
	return &outcome
}

// claim claims the sends, or returns what becomes of all of them where the
// store does not answer.
func (p *Processor) claim(ctx context.Context, sends []*send) *consumer.Outcome {
	if len(sends) == 0 {
		return nil
	}
	claims := make([]store.Claim, len(sends))
	for i, s := range sends {
		claims[i] = s.claim()
	}
	began := p.Now() // before the database's clock starts the lease
	bounded, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	results, err := p.Store.Claim(bounded, p.Owner, p.Lease, claims)
	if err == nil || ctx.Err() == nil { // else we gave up, and not the store
		p.calls.claimed(sends[0].received.Queue.Name, p.Now(), p.Now().Sub(began), err)
	}
	if err != nil {
		p.unheard(ctx, claims)
		outcome := sends[0].storeDown(ctx, "claim", err)
		return &outcome
	}
	for i, s := range sends {
		s.result, s.leaseEnd = results[i], began.Add(p.Lease)
		s.attempt = results[i].Event.Attempts
		if s.received.Uncounted { // by the server: each attempt had a receive, whichever worker's
			s.received.ReceiveCount = max(s.received.ReceiveCount, s.attempt)
		}
	}
	return nil
}

// unheard remembers claims that the store may hold although its answer never
// came.
func (p *Processor) unheard(ctx context.Context, claims []store.Claim) {
	p.mu.Lock()
	for _, c := range claims {
		p.lost = append(p.lost, store.Claim{ID: c.ID, Token: c.Token})
	}
	p.lost = newest(p.lost)
	p.mu.Unlock()
	p.lastChance(ctx)
}

// lastChance gives claims back at once, if it can, where a worker drains and has
// no later.
func (p *Processor) lastChance(ctx context.Context) {
	if ctx.Err() == nil {
		return
	}
	const bound = 2 * time.Second
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	if err := p.Unclaim(bounded); err != nil {
		p.Logger.WarnContext(ctx, "cannot give claims back; the next worker finds out whether they were sent", "error", err)
	}
}

// Unclaim gives back the claims whose answers the store never gave. Nothing was
// sent under them, which nobody else can know: after their leases they would be
// Doubtful. Call it when the store answers again, before more is received.
func (p *Processor) Unclaim(ctx context.Context) error {
	p.mu.Lock()
	lost, devices := p.lost, p.lostDevices
	p.lost, p.lostDevices = nil, nil
	p.mu.Unlock()
	bounded, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	var err error
	if len(devices) > 0 {
		err = p.Store.UnclaimTokens(bounded, devices)
	}
	if err == nil && len(lost) > 0 {
		err = p.Store.Unclaim(bounded, p.Owner, lost)
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lost, p.lostDevices = append(p.lost, lost...), append(p.lostDevices, devices...)
	}
	return err
}

// newest are those of many that are remembered of a store that never answers.
func newest[T any](lost []T) []T {
	const most = 1000
	return slices.Clone(lost[max(len(lost)-most, 0):])
}

// item is one received message that was understood.
type item struct {
	*Processor

	received consumer.Received
	m        *message.Message
	attempt  int // of a claim; 0: none was made
}

func (p *Processor) item(received consumer.Received, m *message.Message) *item {
	return &item{Processor: p, received: received, m: m}
}

// attrs tell a log line's message from others.
func (i *item) attrs() []slog.Attr {
	const some = 8 // with those of the line
	attrs := append(make([]slog.Attr, 0, some), slog.String("id", i.m.ID),
		slog.String("channel", string(i.m.Channel)), slog.String("queue", i.received.Queue.Name))
	if i.attempt > 0 {
		attrs = append(attrs, slog.Int("attempt", i.attempt))
	}
	return attrs
}

// log is for the lines that few messages have: a logger of its own costs more
// than the line.
func (i *item) log() *slog.Logger { return slog.New(i.Logger.Handler().WithAttrs(i.attrs())) }

// succeeded writes the line that each message has in the end.
func (i *item) succeeded(ctx context.Context, attrs ...slog.Attr) {
	i.Logger.LogAttrs(ctx, slog.LevelInfo, processed, append(i.attrs(), attrs...)...)
}

// The two phrases that alarms in production look for.
const (
	processed = "Successfully processed"
	failed    = "Error processing"
)

// storePause is how long a queue rests when the store does not answer.
const storePause = 10 * time.Second

// storeDown is what becomes of a message when the store does not answer: it is
// neither sent nor deleted, and comes again, spread over as long again.
func (i *item) storeDown(ctx context.Context, verb string, err error) consumer.Outcome {
	if ctx.Err() != nil {
		return consumer.Outcome{Action: consumer.HandBack, Reason: "drained"}
	}
	i.log().ErrorContext(ctx, failed, "reason", "store", "verb", verb, "error", err)
	wait := storePause + i.jitter(storePause)
	if i.received.LastReceives() { // no row can take it now: the longer it is hidden, the surer there is one next time
		wait = longestDelay
	}
	return consumer.Outcome{Action: consumer.Retry, After: wait, Failed: true, Reason: "store", Pause: storePause, Gate: true}
}

// configPause is how long a queue rests when our set-up is wrong.
const configPause = 30 * time.Second
