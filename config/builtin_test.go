package config_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/config"
)

func TestTheShippedAlertsExistWithoutAFile(t *testing.T) {
	t.Parallel()
	shipped, err := config.Parse(read(t, "alert-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	alone := config.WithBuiltIn(nil)
	if len(alone) != 1 || alone[0].Metadata.Name != config.BuiltIn || len(alone[0].Rules()) != len(shipped.Alert[0].Rules()) {
		t.Fatalf("got %+v", alone)
	}
	for _, rule := range alone[0].Rules() {
		if len(rule.Receivers) > 0 || rule.Message == "" {
			t.Errorf("built-in %s: receivers %v, message %q", rule.Alert, rule.Receivers, rule.Message)
		}
	}
	if both := config.WithBuiltIn(shipped.Alert); len(both) != 2 || len(both[1].Rules()) != 0 {
		t.Errorf("a policy's own rules do not take the place of the built-in ones")
	}
}

func TestARuleOfABuiltInNameLinksToTheRunbook(t *testing.T) {
	t.Parallel()
	policies := parse(t, `apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  receivers: [{name: ops, webhook: {url: "https://example.com"}}]
  rules:
    - {alert: DeadLetters, expr: queue.deadLetters > 0, receivers: [ops], inhibitedBy: [EmergencyStop]}
    - {alert: Own, expr: queue.deadLetters > 0, receivers: [ops]}
    - {alert: EmergencyStop, expr: decision.emergencyStop, receivers: [ops], runbookURL: "https://wiki.example.com/stop"}
    - {alert: MetricsUnknown, expr: "!queue.known", receivers: [ops], runbookURL: ""}
`)
	want := []string{"https://github.com/novaura/acs-operator/blob/main/docs/runbook.md#deadletters", "", "https://wiki.example.com/stop", ""}
	for i, rule := range policies.Alert[0].Rules() {
		if rule.RunbookURL != want[i] {
			t.Errorf("%s: got %q, want %q", rule.Alert, rule.RunbookURL, want[i])
		}
	}
	for _, rule := range config.WithBuiltIn(nil)[0].Rules() {
		if !strings.HasSuffix(rule.RunbookURL, "#"+strings.ToLower(rule.Alert)) {
			t.Errorf("built-in %s: got %q", rule.Alert, rule.RunbookURL)
		}
	}
}

func TestTheGuideExplainsEveryVariableAndBuiltInRule(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range config.Variables() {
		line := "| `" + v.Name + "` | " + string(v.Kind) + " | " + v.Unit + " | " + v.Doc + " |"
		if !strings.Contains(string(guide), line) {
			t.Errorf("docs/alerts.md lacks the line\n%s", line)
		}
	}
	for _, rule := range config.WithBuiltIn(nil)[0].Rules() {
		if !slices.Contains(strings.Fields(string(guide)), "`"+rule.Alert+"`") {
			t.Errorf("docs/alerts.md lacks %s", rule.Alert)
		}
	}
}
