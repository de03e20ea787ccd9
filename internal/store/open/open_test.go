package open

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/store/postgres"
	"github.com/novaura/acs-operator/internal/store/sqlite"
)

func TestTheSchemePicksTheEngine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "acs.db")
	for _, dsn := range []string{"sqlite:" + file, "sqlite://" + file, "postgres://u@127.0.0.1/d", "postgresql://u@127.0.0.1/d"} {
		s, err := Open(t.Context(), dsn)
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		_, lite := s.(*sqlite.Store)
		_, post := s.(*postgres.Store)
		if want := strings.HasPrefix(dsn, "sqlite"); lite != want || post == want {
			t.Errorf("%s: got %T", dsn, s)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", dsn, err)
		}
	}
}

func TestWhatNamesNoEngineIsSaidWithoutThePassword(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"":                         "DATABASE_URL is empty",
		"acs.db":                   "no scheme",
		"mysql://u:hunter2@h/d":    `"mysql"`,
		"sqlite:":                  "the path is empty",
		"postgres://u:hunter2@h:x": "not valid",
	} {
		s, err := Open(t.Context(), dsn)
		if err == nil || s != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v and error %v, want it to say %s", dsn, s, err, want)
		}
	}
}
