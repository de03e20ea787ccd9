package reconcile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
	"github.com/novaura/acs-operator/internal/scaling"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	ordersEvery  = 10 * time.Second // silences and held messages are read so often
	ordersBound  = 2 * time.Second
	alertsSaved  = time.Minute // an unchanged state is saved so often
	heldAtMost   = 1000        // held messages that are counted
	leastSending = 30 * time.Second
	mostSending  = 5 * time.Minute
)

// Notifying is the condition that every receiver took the last thing it was
// sent.
const Notifying = "Notifying"

// Notifier takes a notification to its recipient: nil once it is taken. It
// may try again until ctx ends.
type Notifier interface {
	Send(ctx context.Context, receiver config.Receiver, n alerting.Notification) error
}

// Orders is what alerts need of the store beside Memory.
type Orders interface {
	Silences(ctx context.Context, endingAfter time.Time) ([]store.Silence, error)
	Events(ctx context.Context, f store.Filter) ([]store.Event, error)
}

// alertRules are the AlertPolicies that every runner follows.
type alertRules struct {
	mu       sync.Mutex
	policies []*config.AlertPolicy // with the built-in ones, and what is left of those that are gone
}

func (a *alertRules) get() []*config.AlertPolicy {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.policies
}

// ApplyAlerts makes policies the ones that alerts follow, from the next tick
// on; the built-in rules are added. Of those that are gone the receivers are
// kept while this process lives, to be told that their alerts are over.
func (l *Loop) ApplyAlerts(policies []*config.AlertPolicy) {
	a := l.options.alerts
	a.mu.Lock()
	defer a.mu.Unlock()
	l.announceAlertPolicies(a.policies, policies)
	next := config.WithBuiltIn(policies)
	for _, was := range a.policies {
		at := slices.IndexFunc(policies, func(p *config.AlertPolicy) bool { return p.Metadata.Name == was.Metadata.Name })
		var successor *config.AlertPolicy
		if at >= 0 {
			successor = policies[at]
		}
		if left := was.Retired(successor); left != nil {
			next = append(next, left)
		}
	}
	a.policies = next
}

// alerter is a runner's alerts. A tick judges; sends are goroutines of their
// own, one a group and recipient at most, so that what hangs holds up neither
// the loop nor other receivers.
type alerter struct {
	sending sync.WaitGroup
	saving  sync.Mutex // one save at a time, the newest last

	epoch    int64              // the tick's alone: the lead that state belongs to
	silences []alerting.Silence // the tick's alone
	held     *float64           // the tick's alone
	read     time.Time          // the tick's alone: when both were read
	saved    time.Time          // the tick's alone

	mu       sync.Mutex
	recalled bool // the saved state was read, so that saving loses nothing
	state    alerting.State
	alerts   []alerting.Alert
	flying   map[string]bool  // by Notification.Key
	failures map[string]error // by AlertPolicy/receiver: what the last send came to
}

// AlertStateKey is under which name the store keeps a policy's alerts. A slash
// is in no policy's name.
func AlertStateKey(policy string) string { return "alerts/" + policy }

// alert judges every rule on what this tick saw and decided, and has told
// what is due.
func (r *runner) alert(ctx context.Context, p *config.ScalingPolicy, obs scaling.Observation, d scaling.Decision, epoch int64) {
	r.recallAlerts(ctx, epoch)
	r.readOrders(ctx)
	r.stepAlerts(ctx, r.options.alerts.get(), alerting.Input{
		Policy: p, Observation: obs, Decision: d, Controller: r.ourselves(), Messages: r.messages(ctx, p), NothingDone: r.nothingDone(d), Reported: r.options.watch.shared(),
		Missing: r.missing, Change: r.change,
	}, obs.Time)
}

// farewell resolves what still fires of a policy that is gone, and has told
// whoever heard of it. It is over when nobody is owed a word any more; a
// standby leaves that to the leader.
func (r *runner) farewell(ctx context.Context) (over bool) {
	standing := r.options.Leader.Standing()
	if standing.Role == Standby {
		return true
	}
	r.recallAlerts(ctx, standing.Epoch)
	r.readOrders(ctx)
	var policies []*config.AlertPolicy
	for _, policy := range r.options.alerts.get() {
		if left := policy.Retired(nil); left != nil {
			policies = append(policies, left)
		}
	}
	a := &r.alerts
	r.stepAlerts(ctx, policies, alerting.Input{Policy: &config.ScalingPolicy{Metadata: r.current().Metadata}}, time.Now())
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	if err := r.flush(bounded); err != nil && ctx.Err() == nil {
		r.logger.Warn("events not recorded", "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.recalled && !a.state.Owes() && len(a.flying) == 0
}

// stepAlerts turns the alerts to now, and has told what is due.
func (r *runner) stepAlerts(ctx context.Context, policies []*config.AlertPolicy, in alerting.Input, now time.Time) {
	a := &r.alerts
	a.mu.Lock()
	before := a.state
	outcome, state := alerting.Step(policies, in, a.silences, before, now)
	a.state, a.alerts = state, outcome.Alerts
	a.mu.Unlock()
	changed := r.announce(before, state)
	for _, n := range outcome.Notifications {
		r.send(ctx, policies, n)
	}
	if changed || len(outcome.Notifications) > 0 || time.Since(a.saved) >= alertsSaved {
		a.saved = time.Now()
		r.saveAlerts(ctx)
	}
}

// ourselves is how the controller does, by its conditions.
func (r *runner) ourselves() alerting.Controller {
	holds := func(kind string) *bool {
		status := r.condition(kind).Status
		if status == Unknown {
			return nil
		}
		value := status == True
		return &value
	}
	unbroken := func(kind string) *bool { // where nothing may have been tried yet
		value := r.condition(kind).Status != False
		return &value
	}
	problem := func(kind string) string { // of a condition, in words
		if c := r.condition(kind); c.Status == False {
			return c.Message
		}
		return ""
	}
	ours := alerting.Controller{
		PolicyAccepted: holds(PolicyAccepted), TargetReadable: holds(TargetReadable), TargetWritable: unbroken(TargetWritable),
		MetricsReadable: holds(MetricsReadable), HistoryWritable: holds(MemoryWritable), NotifierWorking: unbroken(Notifying),
		PolicyProblem: r.policyProblem(), InDoubt: r.alerts.held, TargetProblem: cmp.Or(problem(TargetReadable), problem(TargetWritable)), MetricsProblem: problem(MetricsReadable),
		DatabaseProblem: r.database.Problem, DatabaseSince: r.database.Since,
	}
	if mean := r.database.Mean.Seconds(); mean > 0 {
		ours.DatabaseLatency = &mean
	}
	return ours
}

// recallAlerts brings back what another leader, or this one before a restart,
// knew and told.
func (r *runner) recallAlerts(ctx context.Context, epoch int64) {
	a := &r.alerts
	if a.epoch == epoch && epoch != 0 {
		return
	}
	saved, err := r.loadAlerts(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.recalled = err == nil; {
	case err == nil:
		a.epoch, a.state = epoch, saved
	case ctx.Err() == nil:
		r.logger.Warn("alerts not loaded, judging anew and trying again at the next tick", "error", err)
	}
}

// loadAlerts reads what was saved: nothing where there is nothing, or what
// this program does not understand.
func (r *runner) loadAlerts(ctx context.Context) (state alerting.State, err error) {
	bounded, cancel := context.WithTimeout(ctx, ordersBound)
	defer cancel()
	saved, err := r.options.Memory.LoadState(bounded, AlertStateKey(r.name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return state, nil
	case err != nil:
		return state, err
	}
	if err := json.Unmarshal(saved, &state); err != nil {
		r.logger.Warn("saved alerts not understood, judging anew", "error", err)
		return alerting.State{}, nil
	}
	return state, nil
}

// saveAlerts writes the newest state. It goes on when ctx ends, so that what
// was told is not told again after a restart.
func (r *runner) saveAlerts(ctx context.Context) {
	r.alerts.saving.Lock()
	defer r.alerts.saving.Unlock()
	r.alerts.mu.Lock()
	recalled := r.alerts.recalled
	encoded, err := json.Marshal(r.alerts.state)
	r.alerts.mu.Unlock()
	if !recalled {
		return
	}
	if err != nil {
		r.logger.Error("alerts not encoded", "error", err)
		return
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), ordersBound)
	defer cancel()
	if err := r.options.Memory.SaveState(bounded, AlertStateKey(r.name), encoded); err != nil && ctx.Err() == nil {
		r.logger.Warn("alerts not saved: after a restart some are told again", "error", err)
	}
}

// readOrders reads the silences and counts what is held, now and then; what
// cannot be read stays as it was last.
func (r *runner) readOrders(ctx context.Context) {
	a := &r.alerts
	if r.options.Orders == nil || time.Since(a.read) < ordersEvery {
		return
	}
	a.read = time.Now()
	bounded, cancel := context.WithTimeout(ctx, ordersBound)
	defer cancel()
	rows, err := r.options.Orders.Silences(bounded, time.Now())
	if err == nil {
		a.silences = SilencesOf(rows)
	}
	held, heldErr := r.options.Orders.Events(bounded, store.Filter{Status: store.InDoubt, Limit: heldAtMost})
	a.held = nil
	if heldErr == nil {
		count := float64(len(held))
		a.held = &count
	}
	if err := errors.Join(err, heldErr); err != nil && ctx.Err() == nil {
		r.logger.Warn("silences or held messages not read", "error", err)
	}
}

// SilencesOf reads rows; one that cannot be understood silences nothing.
func SilencesOf(rows []store.Silence) []alerting.Silence {
	silences := make([]alerting.Silence, 0, len(rows))
	for _, row := range rows {
		s := alerting.Silence{ID: row.ID, StartsAt: row.StartsAt, EndsAt: row.EndsAt, CreatedBy: row.Author, Comment: row.Comment}
		if json.Unmarshal(row.Matchers, &s.Matchers) == nil {
			silences = append(silences, s)
		}
	}
	return silences
}

// announce logs, and notes as events, what began to fire and what was
// resolved; whether anything changed at all.
func (r *runner) announce(before, after alerting.State) (changed bool) {
	for key, a := range after.Alerts {
		was := before.Alerts[key].State
		if was == a.State {
			continue
		}
		changed = true
		words := a.Alert + ": " + a.Message
		if !strings.Contains(a.Message, a.Queue) {
			words = fmt.Sprintf("%s %s: %s", a.Alert, a.Queue, a.Message)
		}
		switch {
		case a.State == alerting.Firing:
			r.logger.Warn("alert firing", "alert", a.Alert, "severity", a.Severity, "queue", a.Queue, "message", a.Message)
			r.notice(Warning, "AlertFiring", words)
		case a.State == alerting.Resolved && was == alerting.Firing:
			r.logger.Info("alert resolved", "alert", a.Alert, "severity", a.Severity, "queue", a.Queue)
			r.notice(Normal, "AlertResolved", words)
		}
	}
	return changed || len(before.Alerts) != len(after.Alerts)
}

// send takes n to its recipient on a goroutine of its own, unless one for the
// same group and recipient is still under way.
func (r *runner) send(ctx context.Context, policies []*config.AlertPolicy, n alerting.Notification) {
	receiver, known := receiverOf(policies, n)
	if !known || r.options.Notifier == nil {
		return
	}
	a := &r.alerts
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flying[n.Key] {
		return
	}
	if a.flying == nil {
		a.flying, a.failures = map[string]bool{}, map[string]error{}
	}
	a.flying[n.Key] = true
	a.sending.Go(func() {
		bounded, cancel := context.WithTimeout(ctx, min(max(n.Within, leastSending), mostSending))
		defer cancel()
		r.sent(ctx, n, r.options.Notifier.Send(bounded, receiver, n))
	})
}

func receiverOf(policies []*config.AlertPolicy, n alerting.Notification) (config.Receiver, bool) {
	for _, policy := range policies {
		at := slices.IndexFunc(policy.Spec.Receivers, func(r config.Receiver) bool { return r.Name == n.Receiver })
		if policy.Metadata.Name == n.AlertPolicy && at >= 0 {
			return policy.Spec.Receivers[at], true
		}
	}
	return config.Receiver{}, false
}

// sent writes down what a send came to: told, once it was taken.
func (r *runner) sent(ctx context.Context, n alerting.Notification, err error) {
	r.options.Instruments.told(n.Receiver, err)
	a := &r.alerts
	a.mu.Lock()
	delete(a.flying, n.Key)
	if err == nil {
		a.state = a.state.Confirm(n)
	}
	a.failures[n.AlertPolicy+"/"+n.Receiver] = err
	failing := make([]error, 0, len(a.failures))
	for _, one := range a.failures {
		failing = append(failing, one)
	}
	a.mu.Unlock()
	if err == nil {
		r.logger.Info("alert told", "alert", n.Alert, "receiver", n.Receiver, "reason", string(n.Reason), "firing", n.Firing(), "alerts", len(n.Alerts))
		r.saveAlerts(ctx)
	} else if ctx.Err() == nil {
		r.logger.Error("alert not told, trying again later", "alert", n.Alert, "receiver", n.Receiver, "error", err)
		r.notice(Warning, "NotificationFailed", fmt.Sprintf("%s to %s: %v", n.Alert, n.Receiver, err))
	}
	if ctx.Err() != nil {
		return
	}
	status, reason, message := True, "Succeeded", "every receiver took what it was sent last"
	if failure := errors.Join(failing...); failure != nil {
		status, reason, message = False, "NotificationFailed", failure.Error()
	}
	r.setCondition(Notifying, status, reason, message)
}

// shown are the alerts as they stand.
func (r *runner) shown() []alerting.Alert {
	r.alerts.mu.Lock()
	defer r.alerts.mu.Unlock()
	shown := make([]alerting.Alert, 0, len(r.alerts.alerts))
	for _, a := range r.alerts.alerts {
		shown = append(shown, a.Shown())
	}
	return shown
}

// watchAlerts shows, on a standby, what the leader saved.
func (r *runner) watchAlerts(ctx context.Context) {
	state, err := r.loadAlerts(ctx)
	if err != nil {
		return
	}
	r.alerts.epoch = 0
	r.alerts.mu.Lock()
	defer r.alerts.mu.Unlock()
	r.alerts.alerts = state.List()
}
