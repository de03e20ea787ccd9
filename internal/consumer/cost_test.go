package consumer

import (
	"context"
	"testing"
	"time"
)

// SQS bills requests: a busy queue may cost a quarter of one a message, an
// idle one three a minute.
func TestRequestsToTheQueueAreFew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		const messages = 4000
		f := newFake(bodies(messages)...)
		start(t, f, Options{Handler: each(func(context.Context, Received) Outcome {
			time.Sleep(150 * time.Millisecond)
			return Outcome{Action: Delete}
		})})
		pass(time.Minute)
		if left := len(f.left()); left != 0 {
			t.Fatalf("%d messages are left", left)
		}
		busy := len(f.of("receive")) + len(f.of("delete")) + len(f.of("visibility"))
		if perMessage := float64(busy) / messages; perMessage > 0.25 {
			t.Errorf("%.3f requests a message, want at most 0.25", perMessage)
		}
		pass(10 * time.Minute)
		idle := len(f.of("receive")) + len(f.of("delete")) + len(f.of("visibility")) - busy
		if idle > 30 {
			t.Errorf("%d requests in ten idle minutes, want at most 30", idle)
		}
	})
}
