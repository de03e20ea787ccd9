package sqs

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A phase is where a message is in its life:
//
//	send ──delay──▶ delayed ──┐             ┌── visibility ends ──┐
//	  └───────────────────────┴─▶ visible ◀─┘                     │
//	                                 └── receive ──▶ inFlight ────┴──▶ deleted
//	                                 └── receives spent ──▶ the dead-letter queue
//
// Retention ends it from any phase.
type phase int

const (
	visible phase = iota
	delayed
	inFlight
)

// poisonReceives is how often a message is received before SQS moves it to
// the back of the queue and leaves it out of ApproximateAgeOfOldestMessage,
// see "Available CloudWatch metrics for Amazon SQS".
const poisonReceives = 3

// A message is one message of one queue. Its exported fields are what a
// snapshot keeps; the queue's lock guards it.
type message struct {
	ID, Body   string
	BodyMD5    string
	Attributes map[string]Attribute `json:",omitempty"`
	System     map[string]Attribute `json:",omitempty"` // what the sender set: AWSTraceHeader
	GroupID    string               `json:",omitempty"`
	Source     string               `json:",omitempty"` // the ARN of the queue that it was redriven from

	Sent          time.Time // by its first queue: retention counts from here
	Arrived       time.Time // in this queue: the age metric counts from here
	FirstReceived time.Time `json:",omitzero"`
	Received      time.Time `json:",omitzero"` // last
	Due           time.Time `json:",omitzero"` // when a delay or a visibility timeout ends
	Receives      int       // in its life; also names the newest receipt handle
	ReceivesHere  int       // by this queue: what redrive counts
	Order         uint64    // the visible message with the least is received first
	Phase         phase

	at [heapSlots]int
}

// A queue is the messages and settings of one queue. lock and unlock guard
// every field below mu.
type queue struct {
	name    string
	created time.Time

	mu         sync.Mutex
	modified   time.Time
	purged     time.Time
	attributes map[string]string
	redrive    *redrivePolicy
	tags       map[string]string

	messages map[string]*message
	ready    messageHeap // visible, by Order
	timed    messageHeap // delayed and in flight, by Due
	keeping  messageHeap // all, by Sent: retention
	ages     messageHeap // received fewer than poisonReceives times, by Arrived
	count    [3]int      // by phase
	order    uint64

	waiting []chan struct{} // receivers that long-poll, first come first served
	alarm   *time.Timer     // runs only while someone waits
	counted counters
}

func newQueue(name string, now time.Time) *queue {
	return &queue{
		name: name, created: now, modified: now,
		attributes: defaultAttributes(), tags: map[string]string{}, messages: map[string]*message{},
		ready:   messageHeap{slot: slotReady, before: func(a, b *message) bool { return a.Order < b.Order }},
		timed:   messageHeap{slot: slotTimed, before: func(a, b *message) bool { return a.Due.Before(b.Due) }},
		keeping: messageHeap{slot: slotKeeping, before: func(a, b *message) bool { return a.Sent.Before(b.Sent) }},
		ages:    messageHeap{slot: slotAges, before: func(a, b *message) bool { return a.Arrived.Before(b.Arrived) }},
	}
}

// lock takes the queue and brings it up to now: what has expired is gone,
// what is due is visible.
func (q *queue) lock() time.Time {
	q.mu.Lock()
	now := time.Now()
	q.advance(now)
	return now
}

// unlock gives the queue back after waking who waits for what is visible now.
func (q *queue) unlock(now time.Time) {
	q.advance(now)
	if q.count[visible] > 0 && len(q.waiting) > 0 {
		q.wakeOne()
	}
	q.setAlarm(now)
	q.mu.Unlock()
}

func (q *queue) advance(now time.Time) {
	retention := q.seconds("MessageRetentionPeriod")
	for m := q.keeping.top(); m != nil && !m.Sent.Add(retention).After(now); m = q.keeping.top() {
		q.remove(m)
	}
	for m := q.timed.top(); m != nil && !m.Due.After(now); m = q.timed.top() {
		q.place(m, visible, time.Time{})
	}
}

// wakeOne lets the receiver that waits longest try again. One is enough: it
// wakes the next when it leaves something visible behind.
func (q *queue) wakeOne() {
	close(q.waiting[0])
	q.waiting = q.waiting[1:]
}

func (q *queue) wakeAll() {
	for len(q.waiting) > 0 {
		q.wakeOne()
	}
}

// setAlarm has the queue looked at when its next message is due, if someone
// waits for it.
func (q *queue) setAlarm(now time.Time) {
	next := q.timed.top()
	switch {
	case len(q.waiting) == 0 || next == nil:
		if q.alarm != nil {
			q.alarm.Stop()
		}
	case q.alarm == nil:
		q.alarm = time.AfterFunc(next.Due.Sub(now), func() { q.unlock(q.lock()) })
	default:
		q.alarm.Reset(next.Due.Sub(now))
	}
}

// forget takes a receiver that gave up off the waiting list.
func (q *queue) forget(woken chan struct{}) {
	for i, w := range q.waiting {
		if w == woken {
			q.waiting = append(q.waiting[:i:i], q.waiting[i+1:]...)
			return
		}
	}
}

// add takes in a message that is due at once or, in the future, at due.
func (q *queue) add(m *message, now, due time.Time) {
	m.Arrived, m.ReceivesHere = now, 0
	m.Order = q.nextOrder()
	q.restore(m)
	if due.After(now) {
		q.place(m, delayed, due)
	}
}

// restore files a message as its fields say.
func (q *queue) restore(m *message) {
	m.at = [heapSlots]int{}
	q.messages[m.ID] = m
	q.keeping.push(m)
	if m.ReceivesHere < poisonReceives {
		q.ages.push(m)
	}
	q.count[m.Phase]++
	if m.Phase == visible {
		q.ready.push(m)
	} else {
		q.timed.push(m)
	}
}

// place moves a message to another phase.
func (q *queue) place(m *message, to phase, due time.Time) {
	q.ready.remove(m)
	q.timed.remove(m)
	q.count[m.Phase]--
	m.Phase, m.Due = to, due
	q.count[to]++
	if to == visible {
		q.ready.push(m)
	} else {
		q.timed.push(m)
	}
}

func (q *queue) remove(m *message) {
	for _, h := range []*messageHeap{&q.ready, &q.timed, &q.keeping, &q.ages} {
		h.remove(m)
	}
	q.count[m.Phase]--
	delete(q.messages, m.ID)
}

func (q *queue) clear() {
	for _, m := range q.messages {
		q.remove(m)
	}
}

// take receives up to n messages until due. What has spent its receives is
// removed and returned as spent when redrive is true.
func (q *queue) take(n, limit int, redrive bool, now, due time.Time) (taken, spent []*message) {
	for len(taken) < n && q.count[inFlight] < limit {
		m := q.ready.top()
		if m == nil {
			break
		}
		if redrive && m.ReceivesHere >= q.redrive.maxReceives {
			q.remove(m)
			spent = append(spent, m)
			continue
		}
		q.receive(m, now, due)
		taken = append(taken, m)
	}
	return taken, spent
}

func (q *queue) receive(m *message, now, due time.Time) {
	if m.FirstReceived.IsZero() {
		m.FirstReceived = now
	}
	m.Received = now
	m.Receives++
	m.ReceivesHere++
	if m.ReceivesHere >= poisonReceives {
		q.ages.remove(m)
		q.ready.remove(m) // before the order that it stands in there changes
		m.Order = q.nextOrder()
	}
	q.place(m, inFlight, due)
}

func (q *queue) nextOrder() uint64 {
	q.order++
	return q.order
}

func (q *queue) number(attribute string) int {
	n, _ := strconv.Atoi(q.attributes[attribute]) // validated when it was set
	return n
}

func (q *queue) seconds(attribute string) time.Duration {
	return time.Duration(q.number(attribute)) * time.Second
}

// handle is the receipt handle of the newest receive of m.
func (q *queue) handle(m *message) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %s %d", q.name, m.ID, m.Receives))
}

// held finds the message of a receipt handle. It is nil when that message is
// gone or was received again since; an error when the handle is none of this
// queue's.
func (q *queue) held(handle string) (*message, error) {
	if handle == "" {
		return nil, missing("ReceiptHandle")
	}
	plain, err := base64.StdEncoding.DecodeString(handle)
	parts := strings.Split(string(plain), " ")
	if err != nil || len(parts) != 3 || parts[0] != q.name {
		return nil, badHandle(handle)
	}
	m := q.messages[parts[1]]
	if m == nil || strconv.Itoa(m.Receives) != parts[2] {
		return nil, nil //nolint:nilnil // a handle that is no longer current is no error: AWS answers success.
	}
	return m, nil
}
