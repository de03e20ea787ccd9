package source

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/config"
)

// hanging is a source that hangs on demand, whatever the context says, as a
// system call on a dead network file system does.
type hanging struct {
	changed chan struct{}

	mu    sync.Mutex
	text  string
	hangs chan struct{} // not nil: a read waits for it to be closed
	reads int
}

// set changes what the source holds, or makes it hang.
func (h *hanging) set(text string, hangs chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text, h.hangs = text, hangs
}

func (h *hanging) String() string { return "nfs/policy.yaml" }

func (h *hanging) Read(context.Context) ([]config.File, error) {
	h.mu.Lock()
	h.reads++
	text, hangs := h.text, h.hangs
	h.mu.Unlock()
	if hangs != nil {
		<-hangs
	}
	return []config.File{{Name: "policy.yaml", Data: []byte(text)}}, nil
}

func (h *hanging) Watch(context.Context) <-chan struct{} { return h.changed } // never closed: it hangs as well

func goodPolicy(maxTasks string) string {
	return "apiVersion: acs.novaura.io/v1\nkind: ScalingPolicy\nmetadata: {name: worker}\n" +
		"spec: {target: {cluster: c, service: s}, maxTasks: " + maxTasks + ", queues: [{name: q}]}\n"
}

func wantStalled(t *testing.T, u Update, doing string) {
	t.Helper()
	late := (*StalledError)(nil)
	if !errors.As(u.Err, &late) || !u.Unread || late.Doing != doing || !strings.Contains(u.Err.Error(), "nfs/policy.yaml did not answer") ||
		!strings.Contains(u.Err.Error(), "20s") {
		t.Errorf("got %+v, want a StalledError of %s", u, doing)
	}
}

func TestASourceThatHangsIsSaidAndTheNextChangeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hanging{text: goodPolicy("5"), changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		updates := make(chan Update, 10)
		done := Follow(ctx, src, func(u Update) { updates <- u })
		if u := <-updates; u.Err != nil {
			t.Fatal(u.Err)
		}
		first := make(chan struct{})
		src.set("", first)
		began := time.Now()
		src.changed <- struct{}{}
		wantStalled(t, <-updates, answering)
		if took := time.Since(began); took > answerBound+time.Second {
			t.Errorf("it was said after %s", took)
		}
		src.changed <- struct{}{} // it hangs on, which is not said again
		time.Sleep(time.Minute)
		if len(updates) > 0 {
			t.Errorf("it is said again: %+v", <-updates)
		}
		src.set(goodPolicy("6"), nil)
		src.changed <- struct{}{}
		if u := <-updates; u.Err != nil || u.Policies.Scaling[0].Spec.MaxTasks != 6 || u.Policies.Scaling[0].Metadata.Generation != 2 {
			t.Errorf("got %+v, want the new policy", u)
		}
		cancel()
		<-done
		close(first)
	})
}

func TestReadsThatHangAreNotPiledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hanging{hangs: make(chan struct{}), changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		var said int
		done := Follow(ctx, src, func(Update) { said++ })
		for range 50 {
			src.changed <- struct{}{}
			time.Sleep(time.Minute)
		}
		src.mu.Lock()
		defer src.mu.Unlock()
		if src.reads != mostHanging || said != 1 {
			t.Errorf("%d reads hang, and %d refusals were said; want %d and 1", src.reads, said, mostHanging)
		}
		cancel()
		<-done
		close(src.hangs)
	})
}

func TestTheFollowingEndsWhileTheSourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := &hanging{text: goodPolicy("5"), changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		var said int
		done := Follow(ctx, src, func(Update) { said++ })
		hangs := make(chan struct{})
		src.set("", hangs)
		src.changed <- struct{}{}
		time.Sleep(time.Second)
		began := time.Now()
		cancel()
		<-done
		if took := time.Since(began); took > time.Second || said != 1 {
			t.Errorf("it took %s, and %d updates came; want at once, and one", took, said)
		}
		close(hangs)
	})
}

func TestACheckThatHangsIsSaidAndTheNextChangeIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := make(chan struct{})
		parse = func(files ...config.File) (*config.Policies, error) {
			if strings.Contains(string(files[0].Data), "bomb") {
				<-hangs
			}
			return config.Parse(files...)
		}
		t.Cleanup(func() { parse = config.Parse })
		src := &hanging{text: goodPolicy("5"), changed: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		updates := make(chan Update, 10)
		done := Follow(ctx, src, func(u Update) { updates <- u })
		<-updates
		src.set("bomb", nil)
		src.changed <- struct{}{}
		wantStalled(t, <-updates, checking)
		src.set(goodPolicy("6"), nil)
		src.changed <- struct{}{}
		if u := <-updates; u.Err != nil {
			t.Errorf("got %+v, want the new policy", u)
		}
		cancel()
		<-done
		close(hangs)
	})
}
