package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/novaura/acs-operator/internal/check/harness"
	"github.com/novaura/acs-operator/internal/store"
)

func taskIncidents() []Incident {
	return []Incident{
		{
			ID: "worker-crashes-at-start", Name: "A new worker image exits 2 at its start",
			Cause: deployWith(map[string]string{"WORKER_CONCURRENCY": "many"}), End: deployFirst,
			Expect: Expect{Count: Held(), Alerts: []string{"TasksFailToStart"}, Words: []string{"novaura-acs-processor:2", "exit code 2"}, Resolves: true},
		},
		{
			ID: "poison-message", Name: "One message kills every worker that takes it",
			Cause: poison, During: 3 * time.Minute, End: cure,
			Expect: Expect{Count: AtMost(usualMost), Alerts: []string{"TasksKeepStopping"}, Words: []string{"137"}, Resolves: true},
		},
		{
			ID: "deployment-never-finishes", Name: "A deployment never finishes: its tasks stay pending",
			Cause: inOrder(standIn("ecs", `{"startLag":"1h"}`), redeploy), During: 4 * time.Minute,
			End:    standIn("ecs", `{"startLag":"2s"}`),
			Expect: Expect{Count: Held(), Alerts: []string{"DeploymentStuck"}, Words: []string{"novaura-acs-processor:1"}, Resolves: true},
		},
		{
			ID: "burst-50000-at-maximum", Name: "50,000 texts arrive at once, with the tasks at maxTasks", Slots: 3,
			Setup: Setup{MinTasks: 2, MaxTasks: 4, Channels: "push", Rate: 2},
			Cause: put(harness.SMSQueue, texts(50_000, "burst", "")...), End: nothing,
			Expect: Expect{Count: Reaches(4), Alerts: []string{"AtMaximum"}, Words: []string{harness.SMSQueue, "worked off"}, Status: []string{"AtMaximum"}, Resolves: true},
		},
	}
}

// poisoned is the id of the message that kills.
const poisoned = "poison-1"

// poison sends the message, with the provider slow enough to see who takes it,
// and from then on kills each worker that does.
func poison(ctx context.Context, s *Stage) error {
	if err := standIn("twilio", `{"latency":"2s"}`)(ctx, s); err != nil {
		return err
	}
	hunting, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.hunt = stop
	go s.killHolders(hunting)
	return put(harness.SMSQueue, `{"id":"`+poisoned+`","channel":"sms","type":"message_send","to":"+14155559999","body":"poison"}`)(ctx, s)
}

func cure(ctx context.Context, s *Stage) error {
	s.hunt()
	return standIn("twilio", `{"latency":"150ms"}`)(ctx, s)
}

// killHolders kills each worker that has claimed the poisoned message, until ctx
// ends.
func (s *Stage) killHolders(ctx context.Context) {
	killed := map[string]bool{} // owners
	every(ctx, 200*time.Millisecond, func(ctx context.Context) {
		owner, pid, err := s.holder(ctx)
		if err != nil || pid == 0 || killed[owner] {
			return
		}
		killed[owner] = true
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			s.troublef("kill the worker that holds the message: %v", err)
		}
	})
}

// holder is who works on the poisoned message, and that worker's process; 0:
// nobody does.
func (s *Stage) holder(ctx context.Context) (owner string, pid int, err error) {
	db, err := s.history(ctx)
	if err != nil {
		return "", 0, err
	}
	events, err := db.Events(ctx, store.Filter{ID: poisoned, Limit: 1})
	if err != nil || len(events) == 0 || events[0].Status != store.Processing {
		return "", 0, err
	}
	owner = events[0].Owner
	parts := strings.Split(owner, "/") // host/process/random
	if len(parts) != 3 {
		return "", 0, fmt.Errorf("read the process of owner %q: it has no three parts", owner)
	}
	pid, err = strconv.Atoi(parts[1])
	return owner, pid, err
}
