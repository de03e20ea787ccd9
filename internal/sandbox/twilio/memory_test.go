package twilio

import (
	"fmt"
	"testing"
	"time"
)

func accept(m *memory, to, body string) *message {
	made := newMessage(account, to, sender, "", body)
	m.accept(made)
	return made
}

func TestOnlyTheNewestAreKeptAndTheTotalsGoOn(t *testing.T) {
	m := newMemory(10, 1000, time.Now)
	first := accept(m, anna, "0")
	for i := range 99 {
		accept(m, []string{anna, ben}[i%2], fmt.Sprint(i+1))
	}
	accept(m, anna, "0") // forgotten as a message, known as a hash
	if accepted, doubled := m.totals(); accepted != 101 || doubled != 1 {
		t.Errorf("got %d accepted and %d doubled, want 101 and 1", accepted, doubled)
	}
	if _, ok := m.find(account, first.sid); ok {
		t.Error("the first message is still there")
	}
	all, more := m.list(query{limit: 1000})
	if len(all) != 10 || more || all[0].body != "0" || all[9].body != "91" {
		t.Errorf("got %d messages, want the newest 10", len(all))
	}
	if len(m.bySID) != 10 || len(m.byTo[anna])+len(m.byTo[ben]) != 10 || len(m.byFrom[sender]) != 10 {
		t.Errorf("the indexes hold %d, %d and %d messages, want 10 each", len(m.bySID), len(m.byTo[anna])+len(m.byTo[ben]), len(m.byFrom[sender]))
	}
	if found, _ := m.list(query{olderThan: first.sid, limit: 1}); len(found) != 0 {
		t.Error("a page went on from a message that is forgotten")
	}
}

func TestARecipientWithoutMessagesTakesNoRoom(t *testing.T) {
	m := newMemory(5, 5, time.Now)
	for i := range 100 {
		accept(m, fmt.Sprintf("+1415555%04d", i), "hello")
	}
	if len(m.byTo) != 5 || m.seen.Len() != 5 {
		t.Errorf("got %d recipients and %d hashes, want 5 and 5", len(m.byTo), m.seen.Len())
	}
}

func TestADoubleIsTheSameRecipientAndBody(t *testing.T) {
	m := newMemory(10, 10, time.Now)
	for _, step := range []struct {
		to, body string
		want     bool
	}{{anna, "x", false}, {ben, "x", false}, {anna, "y", false}, {anna, "x", true}, {anna, "x", true}} {
		if got := accept(m, step.to, step.body).doubled; got != step.want {
			t.Errorf("%s %q: got doubled %t, want %t", step.to, step.body, got, step.want)
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	s := New(Options{})
	for b.Loop() {
		if post(b.Context(), s) != 201 {
			b.Fatal("refused")
		}
	}
}
