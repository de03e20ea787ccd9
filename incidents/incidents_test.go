package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
)

func TestEveryIncidentCanBePlayedAndJudged(t *testing.T) {
	seen := map[string]bool{}
	short := 0
	for _, i := range table() {
		switch {
		case i.ID == "" || i.Name == "" || i.Cause == nil || i.End == nil:
			t.Errorf("%q (%s) lacks an id, a name, a cause or an end", i.ID, i.Name)
		case seen[i.ID]:
			t.Errorf("there are two incidents %q", i.ID)
		case i.Expect.Count.wrong == nil:
			t.Errorf("%s does not say what the count may do", i.ID)
		case len(i.Expect.Alerts) == 0 && len(i.Expect.Printed) == 0:
			t.Errorf("%s does not say how anybody hears of it", i.ID)
		}
		seen[i.ID] = true
		if i.Short {
			short++
		}
	}
	if short < 3 || short > 4 {
		t.Errorf("the short selection has %d incidents, want 3 or 4", short)
	}
}

func TestOnlyChoosesAndAnUnknownIDIsRefused(t *testing.T) {
	chosen, err := choose(table(), []string{"database-down", "provider-500"}, false)
	if err != nil || len(chosen) != 2 {
		t.Errorf("got %d incidents, %v; want 2", len(chosen), err)
	}
	if _, err := choose(table(), []string{"provider-501"}, false); err == nil || !strings.Contains(err.Error(), "provider-500") {
		t.Errorf("error %v, want one that lists the ids", err)
	}
}

func TestTheCopiedPoliciesAreValidAndTellTheReceiver(t *testing.T) {
	t.Chdir("..")
	s := &Stage{folder: t.TempDir(), setup: Setup{}.withUsual()}
	if err := s.writePolicies("http://127.0.0.1:1/"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.alertPolicy())
	if err != nil {
		t.Fatal(err)
	}
	scalingText, err := os.ReadFile(s.scalingPolicy())
	if err != nil {
		t.Fatal(err)
	}
	policies, err := config.Parse(config.File{Name: "scaling-policy.yaml", Data: scalingText}, config.File{Name: "alert-policy.yaml", Data: text})
	if err != nil {
		t.Fatal(err)
	}
	if got := policies.Scaling[0].Spec.Interval; got != 5*time.Second {
		t.Errorf("interval %s, want 5s", got)
	}
	shipped, err := os.ReadFile(filepath.FromSlash(shippedAlerts))
	if err != nil {
		t.Fatal(err)
	}
	original, err := config.Parse(config.File{Name: "alert-policy.yaml", Data: shipped})
	if err != nil {
		t.Fatal(err)
	}
	for n, rule := range policies.Alert[0].Spec.Rules {
		if want := original.Alert[0].Spec.Rules[n]; rule.For != want.For || rule.Expr != want.Expr {
			t.Errorf("%s: for %s, expr %q; want them as shipped", rule.Alert, rule.For, rule.Expr)
		}
		if !slices.Equal(rule.Receivers, []string{receiverName}) {
			t.Errorf("%s tells %v", rule.Alert, rule.Receivers)
		}
	}
}

func TestANotificationIsRecordedAlertByAlert(t *testing.T) {
	var r recorder
	r.receive(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"alerts":[
		{"status":"firing","labels":{"alertname":"ProviderFailing"},"annotations":{"runbook":"docs/runbook.md#x","summary":"twilio fails"}},
		{"status":"resolved","labels":{"alertname":"DeadLetters"},"annotations":{"summary":"none left"}}]}`)))
	got := r.soFar().Notices
	if len(got) != 2 || got[0].Alert != "ProviderFailing" || !got[0].Firing || got[0].Text != "twilio fails | runbook: docs/runbook.md#x" || got[1].Firing {
		t.Errorf("recorded %+v", got)
	}
}

func TestTheStatusIsReadFromTheTableThatPeopleSee(t *testing.T) {
	table := `POLICY                DESIRED  RUNNING  WAITING  STATUS             SEEN
communication-worker  2        2        1,551    Limited(maxTasks)  3s ago

vm/1/X leads since 2026-01-05T03:00:00Z (epoch 1).
`
	if got, found := column(table, "STATUS"); !found || got != "Limited(maxTasks)" {
		t.Errorf("status %q, %v", got, found)
	}
	if got, found := column("controller: open store: no answer\n", "STATUS"); found {
		t.Errorf("found %q where there is no table", got)
	}
}

func TestARowIsWrappedToItsColumns(t *testing.T) {
	i, f := good()
	f.Notices[1].Text = strings.Repeat("twilio answers 500 (20500) ", 8)
	var out strings.Builder
	if err := printTable(&out, []Row{judge(i, f)}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 240 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	if got := strings.Count(out.String(), "20500"); got != 8 {
		t.Errorf("the notice is cut: %d of 8 parts are there\n%s", got, out.String())
	}
}

func TestIncidentsAreKeptInOrderAndTheHeavyOnesTakeMoreRoom(t *testing.T) {
	busy, most := make(chan int, 1), 0
	busy <- 0
	change := func(by int) {
		n := <-busy + by
		most = max(most, n)
		busy <- n
	}
	incidents := []Incident{{ID: "a"}, {ID: "b", Slots: 3}, {ID: "c", Slots: 9}, {ID: "d"}}
	rows := playAll(t.Context(), 3, incidents, func(i Incident) Row {
		change(min(i.slots(), 3))
		defer change(-min(i.slots(), 3))
		return Row{ID: i.ID}
	}, func(Row) {})
	for n, row := range rows {
		if row.ID != incidents[n].ID {
			t.Errorf("row %d is %s, want %s", n, row.ID, incidents[n].ID)
		}
	}
	if most > 3 {
		t.Errorf("%d slots were taken at once, want 3 at most", most)
	}
}
