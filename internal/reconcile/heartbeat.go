package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// heartbeatEvery is CloudWatch's standard resolution.
const heartbeatEvery = time.Minute

// Heartbeat writes one line a minute in CloudWatch's embedded metric format
// while a controller leads and its loop turns: namespace ACS/Controller,
// metric Heartbeat, without dimensions. On ECS the awslogs driver makes a
// metric of it; an alarm on missing data tells of a controller that is gone.
// It returns when ctx ends.
func (l *Loop) Heartbeat(ctx context.Context, out io.Writer) {
	ticker := time.NewTicker(heartbeatEvery)
	defer ticker.Stop()
	for {
		if role := l.Standing().Role; role != Standby && l.Alive() == nil {
			if err := beat(out, time.Now(), l.Standing()); err != nil {
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

func beat(out io.Writer, now time.Time, s Standing) error {
	line, err := json.Marshal(map[string]any{
		"_aws": map[string]any{
			"Timestamp": now.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "ACS/Controller", "Dimensions": [][]string{{}},
				"Metrics": []any{map[string]any{"Name": "Heartbeat", "Unit": "Count"}},
			}},
		},
		"Heartbeat": 1, "role": s.Role, "holder": s.Self, "epoch": s.Epoch,
	})
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n", line)
	}
	return err
}
