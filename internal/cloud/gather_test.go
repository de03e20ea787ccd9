package cloud

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
)

// shop answers for many names at a time, and remembers what it was asked.
type shop struct {
	mu     sync.Mutex
	asked  [][]string
	refuse map[string]error // a call with such a name fails
	hang   map[string]bool  // a call with such a name never ends
	omit   map[string]bool  // a call for several leaves such a name out
}

func (s *shop) ask(ctx context.Context, names []string) (map[string]int, error) {
	s.mu.Lock()
	s.asked = append(s.asked, slices.Sorted(slices.Values(names)))
	s.mu.Unlock()
	found := map[string]int{}
	for _, name := range names {
		if s.hang[name] {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		if err := s.refuse[name]; err != nil {
			return nil, err
		}
		if !s.omit[name] || len(names) == 1 {
			found[name] = len(name)
		}
	}
	return found, nil
}

func (s *shop) gather() *gather[string, int] {
	thing := func(name string) string { before, _, _ := strings.Cut(name, "@"); return before }
	return newGather(10, 8*time.Second, func(name string) string { return name[:1] }, thing, s.ask)
}

// all asks for every name at the same time, as runners do, and gives the errors.
func all(t *testing.T, g *gather[string, int], names ...string) map[string]error {
	t.Helper()
	var (
		mu     sync.Mutex
		asking sync.WaitGroup
		errs   = map[string]error{}
	)
	for _, name := range names {
		asking.Go(func() {
			got, err := g.get(t.Context(), name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs[name] = err
			} else if got[name] != len(name) {
				t.Errorf("%s is %v", name, got)
			}
		})
	}
	asking.Wait()
	return errs
}

func (s *shop) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := len(s.asked)
	s.asked = nil
	return calls
}

func TestReadsOfOneMomentShareCallsOfTen(t *testing.T) {
	for _, tc := range []struct{ things, want int }{{1, 1}, {10, 1}, {12, 2}, {60, 6}} {
		t.Run(fmt.Sprint(tc.things), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, names := &shop{}, []string{}
				for i := range tc.things {
					names = append(names, fmt.Sprint("a", i))
				}
				g := s.gather()
				for range 3 {
					if errs := all(t, g, names...); len(errs) > 0 {
						t.Error(errs)
					}
					if calls := s.calls(); calls != tc.want {
						t.Errorf("%d calls for %d things, want %d", calls, tc.things, tc.want)
					}
				}
			})
		})
	}
}

func TestGroupsNeverShareACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{}
		all(t, s.gather(), "a1", "b1", "a2")
		slices.SortFunc(s.asked, slices.Compare)
		if !slices.EqualFunc(s.asked, [][]string{{"a1", "a2"}, {"b1"}}, slices.Equal) {
			t.Errorf("asked %v", s.asked)
		}
	})
}

func TestOneBadNameFailsAloneAndGoesAloneUntilItIsFine(t *testing.T) {
	refusal := errors.New("refused")
	for name, break_ := range map[string]func(*shop){
		"refused": func(s *shop) { s.refuse = map[string]error{"a2": refusal} },
		"hanging": func(s *shop) { s.hang = map[string]bool{"a2": true} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shop{}
				break_(s)
				g := s.gather()
				for round, want := range []int{4, 2, 2} { // together and each alone; then the bad one beside the others
					errs := all(t, g, "a1", "a2", "a3")
					if got := slices.Collect(maps.Keys(errs)); !slices.Equal(got, []string{"a2"}) {
						t.Errorf("round %d: %v failed, want a2 alone", round, errs)
					}
					if calls := s.calls(); calls != want {
						t.Errorf("round %d: %d calls, want %d", round, calls, want)
					}
				}
				s.refuse, s.hang = nil, nil
				for round, want := range []int{2, 1} {
					if errs := all(t, g, "a1", "a2", "a3"); len(errs) > 0 {
						t.Error(errs)
					}
					if calls := s.calls(); calls != want {
						t.Errorf("mended, round %d: %d calls, want %d", round, calls, want)
					}
				}
			})
		})
	}
}

func TestThrottledCallsAreNotMultiplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{refuse: map[string]error{"a2": &smithy.GenericAPIError{Code: "ThrottlingException"}}}
		g := s.gather()
		for range 2 {
			if errs := all(t, g, "a1", "a2", "a3"); len(errs) != 3 {
				t.Errorf("%v, want all to fail", errs)
			}
			if calls := s.calls(); calls != 1 {
				t.Errorf("%d calls while throttled, want 1", calls)
			}
		}
	})
}

func TestWhatACallForManyLeavesOutIsAskedForAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{omit: map[string]bool{"a2": true}}
		g := s.gather()
		for range 3 {
			if errs := all(t, g, "a1", "a2", "a3"); len(errs) > 0 {
				t.Error(errs)
			}
			if calls := s.calls(); calls != 2 {
				t.Errorf("%d calls, want 2", calls)
			}
		}
	})
}

func TestWhoeverLeavesEarlyTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := (&shop{}).gather()
		gone, leave := context.WithCancel(t.Context())
		leave()
		if _, err := g.get(gone, "a1"); !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		if errs := all(t, g, "a2"); len(errs) > 0 {
			t.Error(errs)
		}
	})
}

// The metrics of each minute are asked for anew: which queue it was that failed is
// known by the next, and one minute after the other leaves nothing behind.
func TestWhatFailedIsKnownAgainAtAnotherTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{refuse: map[string]error{}}
		g := s.gather()
		for minute := range 5 {
			at := fmt.Sprintf("@%d", minute)
			s.refuse["abad"+at] = errors.New("refused")
			if errs := all(t, g, "abad"+at, "afine"+at, "agood"+at); len(errs) != 1 || errs["abad"+at] == nil {
				t.Errorf("minute %d: %v, want what is refused alone", minute, errs)
			}
			if calls := s.calls(); minute > 0 && calls != 2 {
				t.Errorf("minute %d: %d calls, want one for the others and one for what failed", minute, calls)
			}
		}
		if len(g.alone) != 1 {
			t.Errorf("%d things are remembered, want one", len(g.alone))
		}
	})
}
