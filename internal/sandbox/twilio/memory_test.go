package twilio

import (
	"fmt"
	"net/http"
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

func TestATextIsDoubledByOurOwnIDWhereTheCallbackNamesIt(t *testing.T) {
	const ours = "http://127.0.0.1:1/status"
	s := start(t)
	s.options.StatusCallback = ours
	for _, tc := range []struct {
		name, callback string
		doubled        int64 // in all, afterwards
	}{
		{"the first", ours + "?acs_id=a", 0},
		{"the same words under an id of their own", ours + "?acs_id=b", 0},
		{"the same id again", ours + "?acs_id=a", 1},
		{"without an id, for the first time", "", 1},
		{"the same words without an id", "", 2},
		{"an id in someone else's callback", "http://127.0.0.1:1/theirs?acs_id=b", 3},
	} {
		form := text(anna, "Hello")
		form.Set("StatusCallback", tc.callback)
		answer, err := http.DefaultClient.Do(s.request(http.MethodPost, messagesPath, form))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if got := s.Stats().Doubled; answer.StatusCode != http.StatusCreated || got != tc.doubled {
			t.Errorf("%s: HTTP %d, %d doubled, want %d", tc.name, answer.StatusCode, got, tc.doubled)
		}
	}
	if m := s.memory.all[0]; m.key != "a" || m.callback != "" {
		t.Errorf("the first has the key %q and calls %q, want a and nobody", m.key, m.callback)
	}
}
