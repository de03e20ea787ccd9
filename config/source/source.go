// Package source brings policies from where they are kept, and notices when
// they change. It imports config; the controller and the worker import it.
//
// Start with Open, then Follow.
package source

import (
	"context"
	"fmt"
	"strings"

	"github.com/novaura/acs-operator/config"
)

// A Source is a place that holds policy files. It may be used by several
// goroutines.
type Source interface {
	// Read returns the files as they are now, sorted by name, at least one. A
	// file of more than config.MaxFileSize bytes is cut after one byte more,
	// which is enough for config.Parse to refuse it; so are more files, and
	// more bytes together, than Parse takes. It may hang: see Read of this
	// package and Follow.
	Read(ctx context.Context) ([]config.File, error)
	// Watch returns a channel that gets a value when it is time to read again:
	// soon after a change, and now and then without one. Values that nobody
	// takes fold into one. The channel is closed, and nothing of the watch is
	// left, soon after ctx ends.
	Watch(ctx context.Context) <-chan struct{}
	// String is the source as it was given to Open.
	String() string
}

// Open returns the source that spec names: the path of a file, or of a folder
// whose *.yaml and *.yml files are read, without those of folders within and
// those whose name starts with a dot; or several of these, with commas between. It does not touch it: what is wrong with
// the path is Read's error, since it may be mended later.
func Open(spec string) (Source, error) {
	if first, rest, isList := strings.Cut(spec, ","); isList {
		return openSeveral(first, rest)
	}
	scheme, _, isURL := strings.Cut(spec, "://")
	switch {
	case spec == "":
		return nil, fmt.Errorf("open policy source: it is empty; name a file or a folder")
	case isURL && (scheme == "s3" || scheme == "ssm"):
		return openRemote(spec)
	case isURL:
		return nil, fmt.Errorf("open policy source %q: %s:// is not known; name a file, a folder, s3://BUCKET/KEY or ssm:///NAME", spec, scheme)
	}
	return local{path: spec}, nil
}
