package redact

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// Every way of printing a value must hide it: a leak through one verb is a
// leak.
func TestNothingThatPrintsAValueShowsIt(t *testing.T) {
	t.Parallel()
	const number, token = "+14155550123", "sk-very-secret"
	holder := struct {
		To  Personal
		Key Secret
	}{number, token}

	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("sent", "to", holder.To, "key", holder.Key, "all", holder)
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	outputs := []string{log.String(), string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		outputs = append(outputs, fmt.Sprintf(verb, holder), fmt.Sprintf(verb, holder.To), fmt.Sprintf(verb, holder.Key))
	}
	for _, output := range outputs {
		for _, hidden := range []string{number, number[3:], token, fmt.Sprintf("%x", number), fmt.Sprintf("%x", token)} {
			if strings.Contains(output, hidden) {
				t.Errorf("%q shows %q", output, hidden)
			}
		}
	}
}

func TestAMaskTellsTwoRecipientsApart(t *testing.T) {
	t.Parallel()
	for value, want := range map[Personal]string{"": "", "a@b.c": "…", "+14155550123": "…23", "ann@example.com": "…om"} {
		if got := value.String(); got != want {
			t.Errorf("mask of %d characters: got %q, want %q", len(value), got, want)
		}
	}
}
