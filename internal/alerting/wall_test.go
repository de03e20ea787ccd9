package alerting

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Alerting opens nothing: what it imports itself can reach neither a
// file, nor a socket, nor another process, and of this project it knows the
// policies only.
func TestTheWallHolds(t *testing.T) {
	imports := list(t, "{{join .Imports \"\\n\"}}", ".")
	for _, banned := range []string{"os", "net", "net/http", "os/exec", "syscall", "log", "log/slog", "io/fs", "io/ioutil", "math/rand", "math/rand/v2", "crypto/rand"} {
		if slices.Contains(imports, banned) {
			t.Errorf("internal/alerting imports %s", banned)
		}
	}
	const module = "github.com/novaura/acs-operator/"
	rooms := []string{module + "config", module + "internal/scaling", module + "internal/redact"} // config hides secrets with it
	for _, dep := range list(t, "{{join .Deps \"\\n\"}}", ".") {
		switch {
		case dep == "net" || dep == "net/http" || dep == "os/exec" || strings.Contains(dep, "aws-sdk-go"):
			t.Errorf("internal/alerting depends on %s", dep)
		case strings.Contains(dep, "acs-operator/") && !slices.Contains(rooms, dep):
			t.Errorf("internal/alerting depends on %s", dep)
		}
	}
}

func list(t *testing.T, format, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", format, pkg).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
