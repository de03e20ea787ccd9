package source

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"reflect"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// settle is how long a changed source must stay as it is before it is
	// believed: an editor that empties a file and then fills it is done by
	// then.
	settle = 150 * time.Millisecond
	// settleTries bounds the wait for one that changes all the time: what is
	// there after three seconds counts.
	settleTries = 20
)

// An Update is what a source holds now: policies, or the reason why its
// content is refused, never both. Whoever gets a refusal keeps what it has.
type Update struct {
	// Policies are to be read only. Their metadata.generation counts, from 1,
	// the accepted versions of each policy's spec.
	Policies *config.Policies
	Err      error
	Unread   bool // Err says why nothing is known of the content; a StalledError where time ran out
}

// Follow calls deliver with the content of src before it returns, and then
// once for every change of it, accepted or refused, until ctx ends. A folder
// that vanished, or an unreadable file, is a refusal too, and so is a source that
// hangs: it is given up after a bound, and the next change is followed. Calls do
// not overlap. The returned channel is closed soon after ctx ends, when the last
// call is over, even while the source hangs.
func Follow(ctx context.Context, src Source, deliver func(Update)) <-chan struct{} {
	f := &follower{src: src, patience: newPatience(src), deliver: deliver, known: map[string]version{}}
	changed := src.Watch(ctx) // before the first look: nothing falls between
	f.last = f.look(ctx)
	deliver(f.update(ctx, f.last))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return // the watch may hang as the source does
			case _, open := <-changed:
				if !open {
					return
				}
				f.follow(ctx)
			}
		}
	}()
	return done
}

// parse is config.Parse, but for tests of one that hangs.
var parse = config.Parse

type follower struct {
	src      Source
	patience *patience
	deliver  func(Update)
	last     content
	known    map[string]version // by kind/name
}

// content is one reading of a source; two are the same if their keys are.
type content struct {
	files []config.File
	err   error
	key   [sha256.Size]byte
}

// version is a policy's last accepted spec.
type version struct {
	generation int64
	spec       any
}

// follow delivers what the source holds if that changed and has settled.
func (f *follower) follow(ctx context.Context) {
	now := f.look(ctx)
	if now.key == f.last.key {
		return
	}
	for range settleTries {
		if now.stalled() {
			break // nothing to wait for
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settle):
		}
		before := now.key
		if now = f.look(ctx); now.key == before {
			break
		}
	}
	if now.key == f.last.key || ctx.Err() != nil {
		return
	}
	f.last = now
	if update := f.update(ctx, now); ctx.Err() == nil {
		f.deliver(update)
	}
}

func (f *follower) look(ctx context.Context) content {
	files, err := within(ctx, f.patience, answering, f.src.Read)
	hash := sha256.New()
	part := func(data []byte) {
		// A hash takes every write. The length parts it from the next.
		_, _ = hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(data))))
		_, _ = hash.Write(data)
	}
	for _, file := range files {
		part([]byte(file.Name))
		part(file.Data)
	}
	if err != nil {
		part([]byte(err.Error()))
	}
	return content{files: files, err: err, key: [sha256.Size]byte(hash.Sum(nil))}
}

// stalled tells whether the source did not answer in time.
func (c content) stalled() bool {
	var late interface{ Timeout() bool } // a StalledError, or AWS's own
	return errors.As(c.err, &late) && late.Timeout()
}

func (f *follower) update(ctx context.Context, now content) Update {
	if now.err != nil {
		return Update{Err: now.err, Unread: true}
	}
	policies, err := within(ctx, f.patience, checking, func(context.Context) (*config.Policies, error) { return parse(now.files...) })
	if err != nil {
		late := (*StalledError)(nil)
		return Update{Err: err, Unread: errors.As(err, &late) || ctx.Err() != nil}
	}
	for _, p := range policies.Scaling {
		f.count(config.KindScalingPolicy, &p.Metadata, p.Spec)
	}
	for _, p := range policies.Alert {
		f.count(config.KindAlertPolicy, &p.Metadata, p.Spec)
	}
	for _, p := range policies.Delivery {
		f.count(config.KindDeliveryPolicy, &p.Metadata, p.Spec)
	}
	return Update{Policies: policies}
}

// count sets the generation of a policy, as Kubernetes does: labels and
// annotations do not count.
func (f *follower) count(kind string, meta *config.Metadata, spec any) {
	name := kind + "/" + meta.Name
	is := f.known[name]
	if is.generation == 0 || !reflect.DeepEqual(is.spec, spec) {
		is = version{generation: is.generation + 1, spec: spec}
		f.known[name] = is
	}
	meta.Generation = is.generation
}
