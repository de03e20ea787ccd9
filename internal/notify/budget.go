package notify

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// Memory keeps how much is left of the budgets, so that the next leader goes on
// where this one was; the store's states are one. A state that was never saved
// is an error, as is one that cannot be read: then what is known here counts.
type Memory interface {
	SaveState(ctx context.Context, name string, state []byte) error
	LoadState(ctx context.Context, name string) ([]byte, error)
}

const (
	defaultRate = 30 // texts an hour and receiver
	memoryBound = 2 * time.Second
)

// budget is what a receiver may still text: Most at once, and as many an hour.
type budget struct {
	Most int       `json:"most"`
	Left float64   `json:"left"`
	Time time.Time `json:"time"` // at which so much was left
}

// at is the budget at now, when most are allowed an hour. A larger allowance
// counts at once.
func (b budget) at(now time.Time, most int) budget {
	if b.Time.IsZero() {
		return budget{Most: most, Left: float64(most), Time: now}
	}
	refilled := max(0, now.Sub(b.Time).Hours()) * float64(most)
	left := b.Left + refilled + math.Max(0, float64(most-b.Most))
	return budget{Most: most, Left: math.Min(left, float64(most)), Time: now}
}

// spend takes one text from a receiver's budget; false: nothing is left. Where
// the memory cannot be read or written, the budget is this process' alone.
func (n *Notifier) spend(ctx context.Context, receiver string, most int) bool {
	n.spending.Lock()
	defer n.spending.Unlock()
	bounded, cancel := context.WithTimeout(ctx, memoryBound)
	defer cancel()
	known := n.budgets[receiver]
	if saved, err := n.saved(bounded, receiver); err == nil && saved.Time.After(known.Time) {
		known = saved
	}
	now := known.at(time.Now(), most)
	affordable := now.Left >= 1
	if affordable {
		now.Left--
	}
	n.budgets[receiver] = now
	if encoded, err := json.Marshal(now); err == nil && affordable && n.options.Memory != nil {
		_ = n.options.Memory.SaveState(bounded, budgetKey(receiver), encoded) // the text matters more
	}
	return affordable
}

func (n *Notifier) saved(ctx context.Context, receiver string) (saved budget, err error) {
	if n.options.Memory == nil {
		return saved, nil
	}
	encoded, err := n.options.Memory.LoadState(ctx, budgetKey(receiver))
	if err == nil {
		err = json.Unmarshal(encoded, &saved)
	}
	return saved, err
}

// budgetKey is under which name the memory keeps a budget. A slash is in no
// policy's name.
func budgetKey(receiver string) string { return "texts/" + receiver }

func perHour(most int) int {
	if most == 0 {
		return defaultRate
	}
	return most
}
