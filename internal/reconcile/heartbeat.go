package reconcile

import (
	"context"
	"io"
	"time"

	"github.com/novaura/acs-operator/internal/emf"
)

// heartbeatEvery is CloudWatch's standard resolution.
const heartbeatEvery = time.Minute

// Heartbeat writes one line a minute in CloudWatch's embedded metric format
// while a controller leads and its loop turns: namespace ACS/Controller,
// metric Heartbeat, without dimensions. On ECS the awslogs driver makes a
// metric of it; an alarm on missing data tells of a controller that is gone.
// It returns when ctx ends.
func (l *Loop) Heartbeat(ctx context.Context, out io.Writer) {
	ticker := time.NewTicker(time.Second) // the first comes as soon as this controller leads
	defer ticker.Stop()
	var last time.Time
	for {
		now := time.Now()
		if l.Standing().Role != Standby && now.Sub(last) >= heartbeatEvery && l.Alive() == nil {
			last = now
			if err := emf.Write(out, now, "ACS/Controller", nil, []emf.Metric{{Name: "Heartbeat", Unit: emf.Count, Value: 1}}); err != nil {
				l.options.Logger.Warn("heartbeat not written", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
