package source

import (
	"context"
	"fmt"
	"time"

	"github.com/novaura/acs-operator/config"
)

const (
	// answerBound is how long reading a source may take, and how long checking
	// what was read. Both take milliseconds on a good day.
	answerBound = 20 * time.Second
	// mostHanging bounds the reads and checks of one follower that go on behind
	// its back after the bound: a system call cannot be interrupted.
	mostHanging = 4
)

// A StalledError says that a source was not read, or its content not checked,
// within the bound. Nothing is known of the content.
type StalledError struct {
	Source string
	Doing  string // what took too long: reading it, checking it
	Bound  time.Duration
}

func (e *StalledError) Error() string {
	hint := "see whether the place answers, and whether it is a network file system"
	if e.Doing == checking {
		hint = "simplify what was changed last; it is checked again when it changes"
	}
	return fmt.Sprintf("policy source %s did not answer: %s took longer than %s; %s", e.Source, e.Doing, e.Bound, hint)
}

// Timeout tells callers that do not import this package that time ran out.
func (e *StalledError) Timeout() bool { return true }

// What can take too long.
const (
	answering = "reading it"
	checking  = "checking it"
)

// Read reads src once, and gives up after a bound whatever the source does.
func Read(ctx context.Context, src Source) ([]config.File, error) {
	p := newPatience(src)
	read, err := within(ctx, p, answering, src.Read)
	return read, err
}

// patience bounds what is done with one source.
type patience struct {
	source string
	slots  chan struct{}
}

func newPatience(src Source) *patience {
	return &patience{source: src.String(), slots: make(chan struct{}, mostHanging)}
}

// within does work on a goroutine of its own, and returns when it is over, when
// the bound is, or when ctx ends. What hangs is left behind, and counted.
func within[T any](ctx context.Context, p *patience, doing string, work func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	stalled := &StalledError{Source: p.source, Doing: doing, Bound: answerBound}
	select {
	case p.slots <- struct{}{}:
	default:
		return none, stalled // all the earlier ones hang
	}
	bounded, cancel := context.WithTimeout(ctx, answerBound)
	defer cancel()
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-p.slots }()
		value, err := work(bounded)
		answers <- answer{value, err}
	}()
	select {
	case got := <-answers:
		return got.value, got.err
	case <-bounded.Done():
		if ctx.Err() != nil {
			return none, fmt.Errorf("follow policy source %s: %w", p.source, ctx.Err())
		}
		return none, stalled
	}
}
