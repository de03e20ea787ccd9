package simulate

import (
	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/scaling"
)

// Core is the decision as the controller takes it.
type Core struct {
	policy    *config.ScalingPolicy
	state     scaling.State
	Decisions []scaling.Decision
}

// NewCore follows the policy from a state that knows nothing.
func NewCore(p *config.ScalingPolicy) *Core { return &Core{policy: p} }

// Desired asks scaling.Decide.
func (c *Core) Desired(look Look) int {
	var d scaling.Decision
	d, c.state = scaling.Decide(c.policy, look.Observation, c.state, look.Observation.Time)
	c.Decisions = append(c.Decisions, d)
	return d.Desired
}

// RunCore is Run with the policy's own decisions, which it keeps.
func RunCore(m Model) Result {
	core := NewCore(m.Policy)
	result := Run(m, "this controller", core)
	result.Decisions = core.Decisions
	return result
}
