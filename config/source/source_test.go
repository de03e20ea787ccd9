package source_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/config/source"
)

// deadline is generous: it only ends a test that fails.
const deadline = 30 * time.Second

func policy(maxTasks string) string {
	return "apiVersion: acs.novaura.io/v1\nkind: ScalingPolicy\nmetadata: {name: worker}\n" +
		"spec: {target: {cluster: c, service: s}, maxTasks: " + maxTasks + ", queues: [{name: q}]}\n"
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, spec string) source.Source {
	t.Helper()
	src, err := source.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// follow starts to follow spec; the function it returns waits for the next
// update. The end of the test waits for the end of the watch.
func follow(t *testing.T, spec string) (next func() source.Update) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	updates := make(chan source.Update, 100)
	done := source.Follow(ctx, open(t, spec), func(u source.Update) { updates <- u })
	if len(updates) != 1 {
		t.Fatal("the first update did not come before Follow returned")
	}
	t.Cleanup(func() {
		cancel()
		<-done
		if len(updates) > 0 {
			t.Errorf("there is an update too many: %+v", <-updates)
		}
	})
	return func() source.Update {
		t.Helper()
		select {
		case u := <-updates:
			return u
		case <-time.After(deadline):
			t.Fatal("no update came")
			return source.Update{}
		}
	}
}

func wantAccepted(t *testing.T, u source.Update, maxTasks int, generation int64) {
	t.Helper()
	if u.Err != nil || u.Policies == nil || len(u.Policies.Scaling) != 1 {
		t.Fatalf("got %+v, want one policy", u)
	}
	got := u.Policies.Scaling[0]
	if got.Spec.MaxTasks != maxTasks || got.Metadata.Generation != generation {
		t.Errorf("got maxTasks %d, generation %d, want %d, %d", got.Spec.MaxTasks, got.Metadata.Generation, maxTasks, generation)
	}
}

func wantRefused(t *testing.T, u source.Update, why string) {
	t.Helper()
	if u.Policies != nil || u.Err == nil || !strings.Contains(u.Err.Error(), why) {
		t.Fatalf("got %+v, want a refusal with %q", u, why)
	}
}

func TestEachChangeOfAFileIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, name, policy("5"))
	next := follow(t, name)
	wantAccepted(t, next(), 5, 1)

	write(t, name, policy("6"))
	wantAccepted(t, next(), 6, 2)

	write(t, name, policy("-6"))
	wantRefused(t, next(), "policy.yaml:4:52: spec.maxTasks")

	write(t, name, policy("6"))
	wantAccepted(t, next(), 6, 2) // the same spec again, so the same generation

	write(t, name, "# why\n"+policy("6"))
	wantAccepted(t, next(), 6, 2)
}

func TestAFileThatIsReplacedOrGoneForAWhileIsFollowed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	name, other := filepath.Join(folder, "policy.yaml"), filepath.Join(folder, "policy.yaml~")
	write(t, name, policy("5"))
	next := follow(t, name)
	wantAccepted(t, next(), 5, 1)

	write(t, other, policy("6"))
	rename(t, other, name)
	wantAccepted(t, next(), 6, 2)

	rename(t, name, other)
	wantRefused(t, next(), "no such file")

	rename(t, other, name)
	wantAccepted(t, next(), 6, 2)
}

func TestASourceThatIsNotThereYetIsTakenUpOnceItIs(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "later")
	name := filepath.Join(folder, "policy.yaml")
	next := follow(t, name)
	wantRefused(t, next(), "no such file")

	made := folder + ".new"
	if err := os.Mkdir(made, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(made, "policy.yaml"), policy("5"))
	rename(t, made, folder)
	wantAccepted(t, next(), 5, 1)
}

// Kubernetes mounts a volume as links to ..data, itself a link that is swapped.
func TestASwappedLinkIsFollowed(t *testing.T) {
	t.Parallel()
	for name, inFolder := range map[string]bool{"of a folder": true, "of a file": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for version, maxTasks := range map[string]string{"..1": "5", "..2": "6"} {
				if err := os.Mkdir(filepath.Join(folder, version), 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(folder, version, "policy.yaml"), policy(maxTasks))
			}
			link(t, "..1", filepath.Join(folder, "..data"))
			link(t, "..data/policy.yaml", filepath.Join(folder, "policy.yaml"))
			spec := folder
			if !inFolder {
				spec = filepath.Join(folder, "policy.yaml")
			}
			next := follow(t, spec)
			wantAccepted(t, next(), 5, 1)

			link(t, "..2", filepath.Join(folder, "..data_tmp"))
			rename(t, filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data"))
			wantAccepted(t, next(), 6, 2)
		})
	}
}

// No notice comes from the folder that a link leads to: the poll finds it.
func TestAChangeBehindALinkIsFound(t *testing.T) {
	t.Parallel()
	target, folder := filepath.Join(t.TempDir(), "real.yaml"), t.TempDir()
	write(t, target, policy("5"))
	link(t, target, filepath.Join(folder, "policy.yaml"))
	next := follow(t, folder)
	wantAccepted(t, next(), 5, 1)

	write(t, target, policy("6"))
	wantAccepted(t, next(), 6, 2)
}

func TestAFolderIsItsYAMLFilesInOrder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", ".hidden.yaml", "notes.md", "b.yaml~"} {
		write(t, filepath.Join(folder, name), name)
	}
	if err := os.Mkdir(filepath.Join(folder, "sub.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := open(t, folder).Read(context.Background())
	if err != nil || len(files) != 2 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for i, want := range []string{"a.yml", "b.yaml"} {
		if got := files[i]; got.Name != filepath.Join(folder, want) || string(got.Data) != want {
			t.Errorf("file %d: got %s: %s, want %s", i, got.Name, got.Data, want)
		}
	}
}

func TestWhatCannotBeReadIsSaid(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if _, err := open(t, folder).Read(context.Background()); err == nil || !strings.Contains(err.Error(), "has no *.yaml") {
		t.Errorf("an empty folder: got %v", err)
	}
	if _, err := open(t, os.DevNull).Read(context.Background()); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a device: got %v", err)
	}
	huge := filepath.Join(folder, "huge.yaml")
	write(t, huge, strings.Repeat("#", 2*config.MaxFileSize))
	files, err := open(t, huge).Read(context.Background())
	if err != nil || len(files[0].Data) != config.MaxFileSize+1 {
		t.Errorf("a huge file: got %v", err)
	}
}

func TestOpenNamesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]string{
		"":                          "is empty",
		"https://example/":          "https:// is not known",
		"s3://bucket/k?versionId=1": "a ? or # ends the name",
		"s3://bucket/k#1":           "a ? or # ends the name",
		"ssm://acs/policy":          "write ssm:///acs/policy",
	} {
		if _, err := source.Open(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", spec, err, want)
		}
	}
}

func TestAPipeInTheFilesPlaceIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, name, policy("5"))
	next := follow(t, name)
	wantAccepted(t, next(), 5, 1)
	if err := errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)); err != nil {
		t.Fatal(err)
	}
	u := next()
	for u.Err != nil && strings.Contains(u.Err.Error(), "no such file") {
		u = next()
	}
	wantRefused(t, u, "not a regular file")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	write(t, name, policy("6"))
	for u = next(); u.Err != nil; u = next() {
		continue
	}
	wantAccepted(t, u, 6, 2)
}
