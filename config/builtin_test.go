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
