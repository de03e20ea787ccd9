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

func (j *journal) await(t *testing.T, word string, times int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		j.mu.Lock()
		seen := strings.Count(j.text.String(), word)
		j.mu.Unlock()
		if seen >= times {
			return
		}
	}
	t.Fatalf("%q was not logged %d time(s): %s", word, times, j.text.String())
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
	follow := func() (rules, error) {
		return workerPolicyFlag{Policy: path}.follow(t.Context(), slog.New(slog.NewTextHandler(log, nil)))
	}
	edit("much")
	if _, err := follow(); err == nil || !strings.Contains(err.Error(), "rateLimit") {
		t.Fatalf("a bad policy at the start: %v", err)
	}
	edit("5")
	rules, err := follow()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		edit, logged string
		times        int
		want         float64
	}{
		{"7", "PolicyAccepted=True", 2, 7},
		{"much", "PolicyAccepted=False", 1, 7},
		{"9", "PolicyAccepted=True", 3, 9},
	} {
		edit(step.edit)
		log.await(t, step.logged, step.times)
		if got := rules(message.SMS).RateLimit; got != step.want {
			t.Errorf("after the edit %s the rate is %v, want %v", step.edit, got, step.want)
		}
	}
}
