// Package ecs stands in for Amazon ECS on one machine: clusters, task
// definitions, services and tasks over the JSON protocol that real clients
// speak. A task is a process that a Launcher starts; a loop brings each
// service to its desired count, as ECS does:
//
//	PENDING ──start lag──▶ RUNNING ──SIGTERM──▶ DEACTIVATING ──▶ STOPPED
//	                          └────────dies────────────────────────▲
//
// Start with Server, then deployment.go (what a service does) and converge.go
// (what a task does).
package ecs

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// Container is what a task definition says of its one essential container.
type Container struct {
	Image       string   // as registered, with registry and tag
	Command     []string // after the image's entry point
	Environment []string // NAME=value
}

// Process is a started container.
type Process interface {
	// Signal asks it to stop (SIGTERM), Kill ends it (SIGKILL). Both may be
	// called after it ended.
	Signal()
	Kill()
	// Wait returns the exit code when it has ended; it is called once.
	Wait() int
}

// Launcher starts containers. A failure is a task that could not start
// (CannotPullContainerError, ResourceInitializationError …).
type Launcher interface {
	Launch(taskID string, c Container) (Process, error)
}

// Options configure a Server.
type Options struct {
	Account  string // twelve digits
	Region   string
	Launcher Launcher
	// StartLag is from a task's creation until it runs, give or take a fifth.
	StartLag time.Duration
	// SettleAfter is how long a task must have run to count for the steady
	// state; DefaultSettle when zero.
	SettleAfter time.Duration
	// Endpoint is where containers reach Agent; empty: they are told of none.
	Endpoint string
}

// DefaultSettle is long enough for a program that can't work to have died.
const DefaultSettle = 2 * time.Second

// Server is the stand-in, an http.Handler that is safe for concurrent use.
// Nothing starts until Run.
type Server struct {
	options Options
	ops     map[string]awswire.Op
	wake    chan struct{} // a token when something is to be converged
	waiting sync.WaitGroup

	mu          sync.Mutex
	startLag    time.Duration
	clusters    map[string]time.Time
	definitions map[string][]*definition   // by family; revision n at n-1
	services    map[string]*service        // by cluster/name
	tasks       []*task                    // all, stopped ones bounded
	tags        map[string][]tag           // by ARN
	settings    map[string]json.RawMessage // of clusters, as they were given
}

// Stopped tasks can be described for an hour, as in ECS, up to so many.
const (
	keepStopped = time.Hour
	mostStopped = 5000
)

type definition struct {
	Arn        string
	Family     string
	Revision   int
	Status     string
	Input      registerInput
	Registered time.Time
}

type service struct {
	cluster, name string
	arn           string
	desired       int
	created       time.Time
	configuration deploymentConfiguration
	deployments   []*deployment // the primary one first
	completed     *deployment   // the last that completed: where a rollback goes
	events        []event       // newest first
	settled       bool          // the steady state was announced
	stuck         bool          // it was said that the configuration blocks the deployment
	deleted       bool
	input         createServiceInput
}

type event struct {
	ID        string  `json:"id"`
	CreatedAt float64 `json:"createdAt"`
	Message   string  `json:"message"`
}

type task struct {
	id, arn, cluster, group string
	service                 *service    // nil: started by RunTask
	deployment              *deployment // nil: as above
	definition              *definition
	startedBy               string
	desired, status         string
	created, startAt        time.Time
	started                 time.Time
	stopping, stopped       time.Time          // asked to, and done
	override                *containerOverride // of RunTask
	stoppedReason, stopCode string
	exitCode                *int
	process                 Process
	killAt                  time.Time // zero: not asked to stop
	killed                  bool
	protectedUntil          time.Time     // zero: not protected
	spent                   time.Duration // processor time, at measured
	measured                time.Time
}

// New returns a Server without clusters.
func New(o Options) *Server {
	if o.SettleAfter == 0 {
		o.SettleAfter = DefaultSettle
	}
	s := &Server{
		options: o, startLag: o.StartLag, wake: make(chan struct{}, 1),
		clusters: map[string]time.Time{}, definitions: map[string][]*definition{}, services: map[string]*service{},
		tags: map[string][]tag{}, settings: map[string]json.RawMessage{},
	}
	s.ops = map[string]awswire.Op{
		"CreateCluster":            awswire.JSON(s.createCluster),
		"DescribeClusters":         awswire.JSON(s.describeClusters),
		"ListClusters":             awswire.JSON(s.listClusters),
		"RegisterTaskDefinition":   awswire.JSON(s.registerTaskDefinition),
		"DescribeTaskDefinition":   awswire.JSON(s.describeTaskDefinition),
		"DeregisterTaskDefinition": awswire.JSON(s.deregisterTaskDefinition),
		"ListTaskDefinitions":      awswire.JSON(s.listTaskDefinitions),
		"CreateService":            awswire.JSON(s.createService),
		"DescribeServices":         awswire.JSON(s.describeServices),
		"UpdateService":            awswire.JSON(s.updateService),
		"DeleteService":            awswire.JSON(s.deleteService),
		"ListServices":             awswire.JSON(s.listServices),
		"RunTask":                  awswire.JSON(s.runTask),
		"StopTask":                 awswire.JSON(s.stopTask),
		"ListTasks":                awswire.JSON(s.listTasks),
		"DescribeTasks":            awswire.JSON(s.describeTasks),
		"DeleteCluster":            awswire.JSON(s.deleteCluster),
		"UpdateTaskProtection":     awswire.JSON(s.updateTaskProtection),
		"GetTaskProtection":        awswire.JSON(s.getTaskProtection),
		"TagResource":              awswire.JSON(s.tagResource),
		"UntagResource":            awswire.JSON(s.untagResource),
		"ListTagsForResource":      awswire.JSON(s.listTags),
	}
	return s
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { awswire.ServeJSON(w, r, s.ops) }

// KillTask ends a task's process at once, as a host that fails does. It
// reports whether there was one.
func (s *Server) KillTask(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if (t.id == id || t.arn == id) && t.process != nil && t.status != statusStopped {
			t.process.Kill()
			return true
		}
	}
	return false
}

// Running lists the ids of the tasks that run.
func (s *Server) Running() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, t := range s.tasks {
		if t.status == statusRunning {
			ids = append(ids, t.id)
		}
	}
	return ids
}

// Run converges services until ctx ends, then stops every task as ECS would
// (SIGTERM, the stop timeout, SIGKILL) and returns when no process is left.
func (s *Server) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(s.converge(time.Now()))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
	}
	s.stopAll(time.Now())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.waiting.Wait()
	}()
	for {
		timer.Reset(s.killOverdue(time.Now()))
		select {
		case <-ended:
			return nil
		case <-s.wake:
		case <-timer.C:
		}
	}
}

func (s *Server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Server) arn(kind, name string) string {
	return fmt.Sprintf("arn:aws:ecs:%s:%s:%s/%s", s.options.Region, s.options.Account, kind, name)
}

// lag is the start lag of one task, give or take a fifth; the caller holds
// the lock.
func (s *Server) lag() time.Duration {
	return time.Duration(float64(s.startLag) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // no secret
}

func newID() string {
	return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64()) //nolint:gosec // a name, no secret
}

// newDigits is how deployments are numbered.
func newDigits() string { return fmt.Sprintf("%019d", rand.Int64()) } //nolint:gosec // a name, no secret

func (v *service) sayf(now time.Time, format string, args ...any) {
	message := fmt.Sprintf("(service %s) "+format, append([]any{v.name}, args...)...)
	v.events = slices.Insert(v.events, 0, event{ID: newID(), CreatedAt: epoch(now), Message: message})
	if len(v.events) > 100 {
		v.events = v.events[:100]
	}
}

func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// nameOf is the last part of an ARN, or the name itself.
func nameOf(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }
