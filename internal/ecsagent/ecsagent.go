// Package ecsagent speaks with the ECS container agent: it takes scale-in
// protection while the task is busy and gives it back when it is idle, so that
// a deployment or a smaller count stops tasks that have nothing in hand.
//
// It is a courtesy, never a condition: no message waits for it, and without it
// the drain does the same work. It imports the standard library alone. Start
// with Protector.Run.
package ecsagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Protector keeps the task's protection like its business. The agent's
// endpoint: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
type Protector struct {
	AgentURI string      // $ECS_AGENT_URI
	Busy     func() bool // quick; asked once a second
	Logger   *slog.Logger
	HTTP     *http.Client // nil: http.DefaultClient
}

const (
	look      = time.Second
	idleFor   = 20 * time.Second // before protection is given back: the agent's calls are rate limited
	expiresIn = 10 * time.Minute // of a task that hangs; it is renewed at half of it
	callBound = 3 * time.Second
	failPause = 15 * time.Second
)

// errBlocked is the agent's word that a deployment waits for this task's end.
var errBlocked = errors.New("a deployment is waiting for this task")

// errStopping says that ECS has begun to stop the task, and protects it no more.
var errStopping = errors.New("the task is being stopped")

// Run follows Busy until ctx ends, and then gives protection back.
func (p *Protector) Run(ctx context.Context) {
	state := &state{}
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if state.protected {
				p.change(context.WithoutCancel(ctx), state, false)
			}
			return
		case <-ticker.C:
			p.step(ctx, state)
		}
	}
}

// state is what the Protector knows of itself.
type state struct {
	protected bool
	renewed   time.Time
	busyAt    time.Time // when it was last seen busy
	notBefore time.Time // of the next call, after one that failed
	failing   bool
}

func (p *Protector) step(ctx context.Context, s *state) {
	now := time.Now()
	busy := p.Busy()
	if busy {
		s.busyAt = now
	}
	if now.Before(s.notBefore) {
		return
	}
	switch {
	case busy && (!s.protected || now.Sub(s.renewed) >= expiresIn/2):
		p.change(ctx, s, true)
	case s.protected && now.Sub(s.busyAt) >= idleFor:
		p.change(ctx, s, false)
	}
}

func (p *Protector) change(ctx context.Context, s *state, protect bool) {
	err := p.put(ctx, protect)
	switch {
	case err == nil:
		s.protected, s.renewed, s.failing = protect, time.Now(), false
		return
	case errors.Is(err, errStopping) && !protect:
		s.protected = false
		return
	case errors.Is(err, errBlocked):
		p.Logger.InfoContext(ctx, "the task is not protected: a deployment waits for its end")
	case !s.failing:
		p.Logger.WarnContext(ctx, "cannot change the task's scale-in protection; messages are worked on without", "protect", protect, "error", err)
	}
	s.failing, s.notBefore = true, time.Now().Add(failPause)
}

// put makes one call, at most callBound long.
func (p *Protector) put(ctx context.Context, protect bool) error {
	ctx, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	body := map[string]any{"ProtectionEnabled": protect}
	if protect {
		body["ExpiresInMinutes"] = int(expiresIn / time.Minute)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, p.AgentURI+"/task-protection/v1/state", bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	client := p.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	return refusal(answer)
}

// refusal reads the agent's answer, whose failures may come with any status.
func refusal(answer *http.Response) error {
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(answer.Body, most))
	if err != nil {
		return err
	}
	var read struct {
		Failure *struct{ Reason, Detail string }
		Error   *struct{ Code, Message string }
	}
	_ = json.Unmarshal(text, &read) // what is no JSON is judged by its status
	switch {
	case read.Failure != nil && read.Failure.Reason == "DEPLOYMENT_BLOCKED":
		return errBlocked
	case read.Failure != nil && read.Failure.Reason == "TASK_NOT_VALID":
		return fmt.Errorf("%w: %s", errStopping, read.Failure.Detail)
	case read.Failure != nil:
		return fmt.Errorf("%s: %s", read.Failure.Reason, read.Failure.Detail)
	case read.Error != nil:
		return fmt.Errorf("%s: %s", read.Error.Code, read.Error.Message)
	case answer.StatusCode/100 != 2:
		return fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	return nil
}
