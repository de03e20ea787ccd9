package sandbox_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The stand-ins are for the local system and for tests.
func TestTheShippedProgramsDoNotImportTheSandbox(t *testing.T) {
	deps, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../controller", "../../worker").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(deps), "acs-operator/internal/consumer") {
		t.Fatalf("the list of imports is not one: %s", deps)
	}
	for dep := range strings.Lines(string(deps)) {
		if strings.Contains(dep, "internal/sandbox") {
			t.Errorf("a shipped program imports %s", dep)
		}
	}
}
