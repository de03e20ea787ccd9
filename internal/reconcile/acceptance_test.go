package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/novaura/acs-operator/config"
)

// said lists the messages of the events of a reason.
func (w *world) said(reason string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var messages []string
	for _, one := range w.notices {
		if one.Reason == reason {
			messages = append(messages, one.Message)
		}
	}
	return messages
}

func TestAcceptedVersionsAreEvents(t *testing.T) {
	changed := *policy(t)
	changed.Spec.MaxTasks = 5
	late := fmt.Errorf("read policy source: %w", context.DeadlineExceeded)
	for name, tc := range map[string]struct {
		edits []any // a policy that is accepted, or an error, one a minute
		want  []string
	}{
		"a new version":                   {[]any{&changed}, []string{"generation 2 of test is followed"}},
		"the same version, written again": {[]any{policy(t)}, nil},
		"back after a mistake": {
			[]any{errors.New("wrong"), errors.New("also wrong"), policy(t)},
			[]string{"generation 1 of test is followed again; the source could not be read from 00:01:00Z to 00:03:00Z"},
		},
		"back after an invalid version": {
			[]any{&config.FieldError{File: "p.yaml", Line: 1, Column: 1, Problem: "is wrong"}, policy(t)},
			[]string{"generation 1 of test is followed again; newer versions were rejected from 00:01:00Z to 00:02:00Z"},
		},
		"mended by a newer version": {
			[]any{&config.FieldError{Problem: "is wrong"}, &changed},
			[]string{"generation 2 of test is followed; newer versions were rejected from 00:01:00Z to 00:02:00Z"},
		},
		"back after a source that did not answer": {
			[]any{late, policy(t)}, []string{"generation 1 of test is followed again; the source could not be read from 00:01:00Z to 00:02:00Z"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{desired: 1}
			during(t, w, 10*time.Minute, func(*Loop) {
				want := append([]string{"generation 1 of test is followed"}, tc.want...)
				if got := w.said(PolicyAccepted); !slices.Equal(got, want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}, func(loop *Loop) {
				for _, edit := range tc.edits {
					time.Sleep(time.Minute)
					switch edit := edit.(type) {
					case *config.ScalingPolicy:
						next := *edit
						loop.Apply([]*config.ScalingPolicy{&next})
					case error:
						loop.Refuse(edit)
					}
				}
			})
		})
	}
}

func TestASourceThatDoesNotAnswerIsAConditionAndAnEvent(t *testing.T) {
	w := &world{desired: 1}
	during(t, w, time.Minute, func(loop *Loop) {
		got := condition(t, loop, PolicyAccepted)
		if got.Status != False || got.Reason != "PolicyNotRead" || w.noticed("PolicyNotRead") != 1 || w.noticed("PolicyRefused") != 0 {
			t.Errorf("got %+v and events %v", got, w.notices)
		}
	}, func(loop *Loop) {
		time.Sleep(20 * time.Second)
		loop.Refuse(fmt.Errorf("read policy source: %w", context.DeadlineExceeded))
	})
}

func TestANewAlertPolicyIsAnEvent(t *testing.T) {
	w := &world{desired: 1}
	alerts := func(after string) []*config.AlertPolicy {
		policies, err := config.Parse(config.File{Name: "a.yaml", Data: []byte(`apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: pages}
spec:
  receivers: [{name: ops, webhook: {url: "https://example.com"}}]
  rules: [{alert: A, expr: "queue.visible > ` + after + `", receivers: [ops]}]
`)})
		if err != nil {
			t.Fatal(err)
		}
		policies.Alert[0].Metadata.Generation = 3
		return policies.Alert
	}
	during(t, w, 5*time.Minute, func(*Loop) {
		want := "generation 3 of AlertPolicy pages is followed"
		if got := w.said(PolicyAccepted); len(got) != 3 || got[1] != want || got[2] != want {
			t.Errorf("got %q", got)
		}
	}, func(loop *Loop) {
		for _, after := range []string{"1", "1", "2"} {
			time.Sleep(time.Minute)
			loop.ApplyAlerts(alerts(after))
		}
	})
}

func TestAnAlertQuotesTheFirstMistakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 150)
	for name, tc := range map[string]struct{ text, want string }{
		"one":                      {"p.yaml:3:5: spec.maxTasks: is wrong", "p.yaml:3:5: spec.maxTasks: is wrong"},
		"two that fit":             {"p.yaml:3:5: a\np.yaml:4:5: b", "p.yaml:3:5: a; p.yaml:4:5: b"},
		"three, of which one fits": {long + "\n" + long + "\n" + long, long + " (and 2 more)"},
		"one that is too long":     {strings.Repeat("y", 300), strings.Repeat("y", 199) + "…"},
		"none":                     {"", ""},
	} {
		got := firstLines(tc.text)
		if got != tc.want || utf8.RuneCountInString(got) > problemLength+20 {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
