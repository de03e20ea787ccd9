package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/message"
)

// journal is a log that others write while it is read.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(word string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), word)
}

// eventually waits for what a watcher does in its own time.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
	}
}

func TestABadEditOfTheDeliveryPolicyLeavesTheRunningOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "delivery.yaml")
	edit := func(rate string) {
		text := "apiVersion: acs.novaura.io/v1\nkind: DeliveryPolicy\nmetadata: {name: delivery}\nspec: {channels: {sms: {rateLimit: " + rate + "}}}\n"
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	log := &journal{}
	follow := func() (*deliveryPolicy, error) {
		return workerPolicyFlag{Policy: path}.follow(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
	}
	edit("much")
	if _, err := follow(); err == nil || !strings.Contains(err.Error(), "rateLimit") {
		t.Fatalf("a bad policy at the start: %v", err)
	}
	edit("5")
	policy, err := follow()
	if err != nil {
		t.Fatal(err)
	}
	rate := func(want float64) func() bool {
		return func() bool { return policy.rules(message.SMS).RateLimit == want }
	}
	edit("7")
	first := policy.hash()
	eventually(t, "the new rate holds", rate(7))
	if second := policy.hash(); first == "" || second == first {
		t.Errorf("two policies have the hashes %q and %q", first, second)
	}
	edit("much")
	eventually(t, "the bad edit is refused", func() bool { return log.has("PolicyAccepted=False") })
	if !rate(7)() {
		t.Errorf("the bad edit changed the rate to %v", policy.rules(message.SMS).RateLimit)
	}
	edit("9")
	eventually(t, "the mended edit holds", rate(9))
	eventually(t, "the reason and the time are said", func() bool { return log.has("reason=InvalidPolicy") && log.has("rejected_from=") })
}

func TestPruneKeepsAddressesAsLongAsThePolicySays(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "delivery.yaml")
	text := "apiVersion: acs.novaura.io/v1\nkind: DeliveryPolicy\nmetadata: {name: delivery}\nspec: {retention: 1000h}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for policy, want := range map[string]time.Duration{"": 2160 * time.Hour, path: 1000 * time.Hour} {
		if got, err := (workerPolicyFlag{Policy: policy}).retention(t.Context()); err != nil || got != want {
			t.Errorf("%q: %s and %v, want %s", policy, got, err, want)
		}
	}
	if _, err := (workerPolicyFlag{Policy: path + ".not"}).retention(t.Context()); err == nil {
		t.Error("a policy that is not there is taken for the default")
	}
}
