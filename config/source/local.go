package source

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/novaura/acs-operator/config"
)

// pollEvery is the safety net under the file system's notices, which network
// file systems, links to elsewhere and full inotify tables do not give.
const pollEvery = time.Second

// local is a file or a folder.
type local struct{ path string }

var _ Source = local{}

func (l local) String() string { return l.path }

func (l local) Read(ctx context.Context) ([]config.File, error) {
	names, err := l.names()
	if err != nil {
		return nil, fmt.Errorf("read policy source: %w", err)
	}
	files, total := make([]config.File, 0, len(names)), 0
	for _, name := range names {
		if total > config.MaxTotalSize {
			break // enough for Parse to refuse it
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read policy source: %w", err)
		}
		data, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("read policy source: %w", err)
		}
		files = append(files, config.File{Name: name, Data: data})
		total += len(data)
	}
	return files, nil
}

// names returns the paths of the files, sorted.
func (l local) names() ([]string, error) {
	info, err := os.Stat(l.path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{l.path}, nil
	}
	entries, err := os.ReadDir(l.path) // sorted
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		name := filepath.Join(l.path, entry.Name())
		// A Kubernetes volume has links into ..data here: Stat follows them.
		if target, err := os.Stat(name); isPolicy(entry.Name()) && (err != nil || !target.IsDir()) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("folder %s has no *.yaml or *.yml file", l.path)
	}
	return slices.Clip(names[:min(len(names), config.MaxFiles+1)]), nil // one more than Parse takes
}

func isPolicy(name string) bool {
	extension := filepath.Ext(name)
	return !strings.HasPrefix(name, ".") && (extension == ".yaml" || extension == ".yml")
}

// readFile reads a regular file. Opening a pipe would wait for its writer, so
// nothing is waited for before the kind of the file is known.
func readFile(name string) (data []byte, err error) {
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, file.Close()) }()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return io.ReadAll(io.LimitReader(file, config.MaxFileSize+1))
}

// Watch looks at the folder itself, not at files: editors replace a file by
// another of the same name, and Kubernetes swaps a link.
func (l local) Watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	watcher, err := fsnotify.NewWatcher()
	if err != nil { // No notices are left on this machine: polling does alone.
		watcher = &fsnotify.Watcher{}
	} else {
		l.addTo(watcher)
	}
	go func() {
		defer close(changed)
		if err == nil {
			defer func() { _ = watcher.Close() }() // nothing was written
		}
		tick := time.NewTicker(pollEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-watcher.Events:
			case <-watcher.Errors: //nolint:errcheck // whatever it is, notices may be lost: look
			case <-tick.C:
				if err == nil {
					l.addTo(watcher) // a folder that was made anew
				}
			}
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed
}

// addTo watches the folder of the source. What fails is tried again at the
// next tick, which finds changes by itself in between.
func (l local) addTo(watcher *fsnotify.Watcher) {
	folder := l.path
	if info, err := os.Stat(l.path); err != nil || !info.IsDir() {
		folder = filepath.Dir(l.path)
	}
	_ = watcher.Add(folder)
}
