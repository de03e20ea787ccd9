package source_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config/source"
)

func TestSeveralSourcesAreReadAsOne(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{"b.yaml": "b: 1\n", "a.yaml": "a: 1\n", "c.yaml": "c: 1\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := filepath.Join(folder, "b.yaml") + "," + filepath.Join(folder, "a.yaml") + "," + filepath.Join(folder, "c.yaml")
	src, err := source.Open(spec)
	if err != nil || src.String() != spec {
		t.Fatalf("got %v and %v", src, err)
	}
	files, err := src.Read(t.Context())
	if err != nil || len(files) != 3 || filepath.Base(files[0].Name) != "a.yaml" {
		t.Fatalf("got %v and %v", files, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	changed := src.Watch(ctx)
	if _, open := <-changed; !open {
		t.Error("the watch ended")
	}
	cancel()
	for range changed { // it is closed soon
		continue
	}
	for _, bad := range []string{"a,", ",a", "a,ftp://b"} {
		if _, err := source.Open(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}
