package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// pace is how long the parts of an incident take.
type pace struct {
	warm     time.Duration // before the cause, so that the controller has learned
	soon     bool          // end the cause once all is seen that is expected
	patience time.Duration // after its end, for recovery and for what is to be resolved
}

const (
	// settleWithin is how long after warm the status may take to be OK.
	settleWithin = 90 * time.Second
	// leastLength is what a cause lasts in any case.
	leastLength = 30 * time.Second
	// longest bounds an incident, whatever hangs.
	longest = 25 * time.Minute
)

func longPace() pace  { return pace{warm: time.Minute, patience: 6 * time.Minute} }
func shortPace() pace { return pace{warm: 20 * time.Second, soon: true, patience: 75 * time.Second} }

// play runs one incident from an empty system to its closing report.
func play(ctx context.Context, p pace, programs programs, incident Incident, folder string) Row {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	stage, err := startStage(ctx, programs, incident.Setup, filepath.Join(folder, incident.ID))
	if err != nil {
		stage.troublef("start the system: %v", err)
	} else {
		stage.perform(ctx, p, incident)
	}
	stage.close()
	return judge(incident, stage.soFar())
}

// perform brings the cause about, ends it, and watches all the while.
func (s *Stage) perform(ctx context.Context, p pace, i Incident) {
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(watching) })
	defer watch.Wait()
	defer stop()

	s.wait(ctx, p.warm, nil)
	if !s.wait(ctx, settleWithin, s.wellBefore) {
		s.troublef("the system was not at rest before the cause: %s", lastSeen(s.soFar()))
	}
	s.record(func(f *Facts) { f.Cause = time.Now() })
	if err := i.Cause(ctx, s); err != nil {
		s.troublef("bring it about: %v", err)
	}
	s.during(ctx, p, i)
	if err := i.End(ctx, s); err != nil {
		s.troublef("end it: %v", err)
	}
	s.record(func(f *Facts) { f.End = time.Now() })
	s.wait(ctx, p.patience, func() bool { return over(i.Expect, s.soFar()) })
	if err := s.local.Ended(); err != nil {
		s.troublef("%v", err)
	}
}

// during waits until the cause is to end.
func (s *Stage) during(ctx context.Context, p pace, i Incident) {
	if !p.soon {
		s.wait(ctx, i.length(), nil)
		return
	}
	s.wait(ctx, leastLength, nil)
	s.wait(ctx, i.length()-leastLength, func() bool { return complete(i.Expect, s.soFar(), time.Now()) })
}

// wellBefore tells whether the newest look says OK, and the count has come to
// rest at its least.
func (s *Stage) wellBefore() bool {
	f := s.soFar()
	looks, counts := len(f.Looks), len(f.Counts)
	return looks > 0 && counts > 0 && f.Looks[looks-1].Status == "OK" && f.Counts[counts-1].Desired == s.setup.MinTasks
}

// wait lasts until done says so (nil: it never does), or bound is over. It
// reports whether done did.
func (s *Stage) wait(ctx context.Context, bound time.Duration, done func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		if done != nil && done() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// playAll plays incidents side by side, in their order as far as there is room,
// and hands over each row as it comes. It returns the rows in that order.
func playAll(ctx context.Context, room int, incidents []Incident, playOne func(Incident) Row, done func(Row)) []Row {
	rows := make([]Row, len(incidents))
	free := make(chan struct{}, room)
	var playing sync.WaitGroup
	for n, incident := range incidents {
		slots := min(incident.slots(), room)
		for range slots {
			free <- struct{}{}
		}
		if ctx.Err() != nil {
			rows[n] = Row{ID: incident.ID, Incident: incident.Name, Problems: []string{fmt.Sprintf("not played: %v", ctx.Err())}}
			for range slots {
				<-free
			}
			continue
		}
		playing.Go(func() {
			rows[n] = playOne(incident)
			for range slots {
				<-free
			}
			done(rows[n])
		})
	}
	playing.Wait()
	return rows
}
