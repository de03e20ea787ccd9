package sqs

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

const (
	keptTasks = 10  // of a source queue, see ListMessageMoveTasks
	maxRate   = 500 // messages a second, see StartMessageMoveTask
	moveEvery = 100 * time.Millisecond
)

// The states of a move task.
const (
	moveRunning   = "RUNNING"
	moveCompleted = "COMPLETED"
	moveCancelled = "CANCELLED"
	moveFailed    = "FAILED"
)

// A moveTask brings messages back from a dead-letter queue. Its fields are
// guarded by the Service's moves lock. It runs on a timer, a slice of a rate
// at a time:
//
//	start ──▶ RUNNING ──nothing visible left──▶ COMPLETED
//	             ├── cancel ──▶ CANCELLED
//	             └── no way to tell where to ──▶ FAILED
type moveTask struct {
	id          string
	source      string // the queue's name
	destination string // an ARN; empty: where each message came from
	rate        int    // messages a second; 0: as fast as AWS sees fit
	status      string
	reason      string // of a failure
	toMove      int
	moved       int
	credit      float64 // messages that the rate allows now
	started     time.Time
}

type startMoveInput struct {
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn"`
	Rate           *int   `json:"MaxNumberOfMessagesPerSecond"`
}

type handleShape struct {
	TaskHandle string
}

func noResource(message string) error {
	return &awswire.Error{Code: "ResourceNotFoundException", Query: "ResourceNotFoundException", Status: http.StatusNotFound, Message: message}
}

// queueOf finds a queue by its ARN. The caller holds s.mu.
func (s *Service) queueOf(arn, parameter string) (*queue, error) {
	if arn == "" {
		return nil, missing(parameter)
	}
	if !strings.HasPrefix(arn, "arn:") || strings.Count(arn, ":") != 5 {
		return nil, invalid("You must use this format to specify the %s: arn:<partition>:<service>:<region>:<account-id>:<resource-id>", parameter)
	}
	if q := s.queues[nameOfARN(arn)]; q != nil && s.arn(q.name) == arn {
		return q, nil
	}
	return nil, noResource("The resource that you specified for the " + parameter + " parameter doesn't exist.")
}

func (s *Service) startMove(_ context.Context, in *startMoveInput) (*handleShape, error) {
	if in.Rate != nil && (*in.Rate < 1 || *in.Rate > maxRate) {
		return nil, invalidValue(*in.Rate, "MaxNumberOfMessagesPerSecond", "Must be between 1 and 500, if provided.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	source, err := s.queueOf(in.SourceARN, "SourceArn")
	if err != nil {
		return nil, err
	}
	if in.DestinationARN != "" {
		destination, err := s.queueOf(in.DestinationARN, "DestinationArn")
		if err != nil {
			return nil, err
		}
		if destination == source {
			return nil, invalid("Source queue arn and destination queue arn cannot be the same.")
		}
	}
	if len(s.names(func(q *queue) bool { return q.redrivesTo(source.name) })) == 0 {
		return nil, invalid("Source queue must be configured as a Dead Letter Queue.")
	}
	now := source.lock()
	toMove := source.count[visible]
	source.unlock(now)
	t := &moveTask{
		id: awswire.UUID(), source: source.name, destination: in.DestinationARN, rate: valueOr(in.Rate, 0),
		status: moveRunning, toMove: toMove, started: now, credit: 1,
	}
	if err := s.addMove(t); err != nil {
		return nil, err
	}
	time.AfterFunc(moveEvery, func() { s.move(t) })
	return &handleShape{s.handleOf(t)}, nil
}

func (q *queue) redrivesTo(target string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.redrive != nil && q.redrive.target == target
}

func (s *Service) addMove(t *moveTask) error {
	s.moves.Lock()
	defer s.moves.Unlock()
	tasks := s.tasks[t.source]
	if len(tasks) > 0 && tasks[0].status == moveRunning {
		return invalid("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
	}
	tasks = slices.Insert(tasks, 0, t)
	s.tasks[t.source] = tasks[:min(len(tasks), keptTasks)]
	return nil
}

// move takes one step of a task, and sees to the next.
func (s *Service) move(t *moveTask) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.moves.Lock()
	defer s.moves.Unlock()
	if t.status != moveRunning {
		return
	}
	source := s.queues[t.source]
	if source == nil {
		t.status, t.reason = moveFailed, queryPrefix+"NonExistentQueue"
		return
	}
	rate := t.rate
	if rate == 0 {
		rate = maxRate * 10 // "the system optimizes the rate"
	}
	t.credit = min(t.credit+float64(rate)*moveEvery.Seconds(), float64(rate))
	for ; t.credit >= 1 && t.status == moveRunning; t.credit-- {
		s.moveOne(t, source)
	}
	if t.status == moveRunning {
		time.AfterFunc(moveEvery, func() { s.move(t) })
	}
}

// moveOne brings the oldest visible message back as a new one: it has another
// id, and its age begins anew.
func (s *Service) moveOne(t *moveTask, source *queue) {
	m, target := s.nextMove(t, source)
	if m == nil {
		return
	}
	now := target.lock()
	defer target.unlock(now)
	target.add(&message{
		ID: awswire.UUID(), Body: m.Body, BodyMD5: m.BodyMD5, Attributes: m.Attributes, System: m.System, GroupID: m.GroupID, Sent: now,
	}, now, now)
	target.counted.sent++
	target.counted.sentBytes += int64(len(m.Body))
	t.moved++
}

// nextMove takes a message off the source, or ends the task.
func (s *Service) nextMove(t *moveTask, source *queue) (*message, *queue) {
	now := source.lock()
	defer source.unlock(now)
	m := source.ready.top()
	if m == nil {
		t.status = moveCompleted
		return nil, nil
	}
	to := t.destination
	if to == "" {
		to = m.Source
	}
	target := s.queues[nameOfARN(to)]
	switch {
	case to == "":
		t.status, t.reason = moveFailed, "CouldNotDetermineMessageSource"
		return nil, nil
	case target == nil:
		t.status, t.reason = moveFailed, queryPrefix+"NonExistentQueue"
		return nil, nil
	}
	source.remove(m)
	source.counted.received++
	source.counted.deleted++
	return m, target
}

type handleDocument struct {
	TaskID    string `json:"taskId"`
	SourceARN string `json:"sourceArn"`
}

func (s *Service) handleOf(t *moveTask) string {
	encoded, _ := json.Marshal(handleDocument{t.id, s.arn(t.source)}) //nolint:errchkjson // strings always encode
	return base64.StdEncoding.EncodeToString(encoded)
}

type cancelOutput struct {
	Moved int `json:"ApproximateNumberOfMessagesMoved"`
}

func (s *Service) cancelMove(_ context.Context, in *handleShape) (*cancelOutput, error) {
	if in.TaskHandle == "" {
		return nil, missing("TaskHandle")
	}
	var document handleDocument
	plain, err := base64.StdEncoding.DecodeString(in.TaskHandle)
	if err != nil || json.Unmarshal(plain, &document) != nil || document.TaskID == "" {
		return nil, invalid("Value for parameter TaskHandle is invalid.")
	}
	s.moves.Lock()
	defer s.moves.Unlock()
	for _, t := range s.tasks[nameOfARN(document.SourceARN)] {
		if t.id != document.TaskID {
			continue
		}
		if t.status != moveRunning {
			return nil, invalid("Only active tasks can be cancelled: this one is %s.", t.status)
		}
		t.status = moveCancelled
		return &cancelOutput{t.moved}, nil
	}
	return nil, noResource("Task does not exist.")
}

type listMovesInput struct {
	SourceARN  string `json:"SourceArn"`
	MaxResults *int
}

type moveShape struct {
	TaskHandle     string `json:",omitempty"` // of a running task only
	Status         string
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn,omitempty"`
	Rate           int    `json:"MaxNumberOfMessagesPerSecond,omitempty"`
	Moved          int    `json:"ApproximateNumberOfMessagesMoved"`
	ToMove         int    `json:"ApproximateNumberOfMessagesToMove"`
	FailureReason  string `json:",omitempty"`
	Started        int64  `json:"StartedTimestamp"` // ms
}

type listMovesOutput struct{ Results []moveShape }

func (s *Service) listMoves(_ context.Context, in *listMovesInput) (*listMovesOutput, error) {
	most := valueOr(in.MaxResults, 1)
	if most < 1 || most > keptTasks {
		return nil, invalidValue(most, "MaxResults", "Must be between 1 and 10, if provided.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	source, err := s.queueOf(in.SourceARN, "SourceArn")
	if err != nil {
		return nil, err
	}
	s.moves.Lock()
	defer s.moves.Unlock()
	out := &listMovesOutput{Results: []moveShape{}}
	tasks := s.tasks[source.name]
	for _, t := range tasks[:min(most, len(tasks))] {
		shape := moveShape{
			Status: t.status, SourceARN: in.SourceARN, DestinationARN: t.destination, Rate: t.rate,
			Moved: t.moved, ToMove: t.toMove, FailureReason: t.reason, Started: t.started.UnixMilli(),
		}
		if t.status == moveRunning {
			shape.TaskHandle = s.handleOf(t)
		}
		out.Results = append(out.Results, shape)
	}
	return out, nil
}
