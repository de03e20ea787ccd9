package config

import "time"

// DeliveryPolicy says how the worker sends; read by the worker.
type DeliveryPolicy struct {
	Metadata Metadata     `json:"metadata" jsonschema:"required" yaml:"metadata"`
	Spec     DeliverySpec `json:"spec"     jsonschema:"required" yaml:"spec"`
}

// DefaultDeliveryPolicy is what holds where nobody wrote one.
func DefaultDeliveryPolicy() *DeliveryPolicy {
	return &DeliveryPolicy{Metadata: Metadata{Name: "default"}, Spec: defaultDeliverySpec()}
}

// DeliverySpec is what the operator wants.
type DeliverySpec struct {
	Channels Channels `json:"channels" yaml:"channels"`
	// Retention is how long addresses are kept; default 2160h (90 days), at
	// least 672h: 14 days in a queue and 14 in its dead-letter queue, in which
	// the row is the claim.
	Retention time.Duration `json:"retention" jsonschema:"minimum=672h,maximum=87600h" yaml:"retention"`
}

// Channels has each channel's rules.
type Channels struct {
	SMS   ChannelSpec `json:"sms"   yaml:"sms"`
	Email ChannelSpec `json:"email" yaml:"email"`
	Push  ChannelSpec `json:"push"  yaml:"push"`
}

// Of is the rules of the channel of that name: sms, email or push.
func (c Channels) Of(name string) ChannelSpec {
	switch name {
	case "email":
		return c.Email
	case "push":
		return c.Push
	}
	return c.SMS
}

// ChannelSpec is the rules of one channel.
type ChannelSpec struct {
	// RateLimit is in messages/s over all tasks; 0: unlimited. A
	// ScalingPolicy's maxThroughput defaults to it.
	RateLimit float64 `json:"rateLimit,omitempty" jsonschema:"exclusiveMinimum=0,maximum=1000000" yaml:"rateLimit"`
	// MaxAttempts is how often a message is tried before it is dead-lettered;
	// default 8. That a provider cannot be reached is no try, for a day.
	MaxAttempts int         `json:"maxAttempts"          jsonschema:"minimum=1,maximum=1000" yaml:"maxAttempts"`
	InDoubt     InDoubt     `json:"inDoubt"              yaml:"inDoubt"`
	QuietHours  *QuietHours `json:"quietHours,omitempty" yaml:"quietHours"` // nil: none
}

// What happens to a message of which nobody can tell whether it was sent.
const (
	InDoubtHold   = "hold"   // it stays until a person resolves it
	InDoubtResend = "resend" // it is sent, perhaps twice
)

// InDoubt says it by priority; default hold, for push resend.
type InDoubt struct {
	Transactional string `json:"transactional" jsonschema:"enum=hold,enum=resend" yaml:"transactional"`
	Marketing     string `json:"marketing"     jsonschema:"enum=hold,enum=resend" yaml:"marketing"`
}

// QuietHours is when messages wait, in the recipient's time zone. To before
// From is the next day's.
type QuietHours struct {
	From string `form:"clock" json:"from" jsonschema:"required" yaml:"from"` // 15:04
	To   string `form:"clock" json:"to"   jsonschema:"required" yaml:"to"`   // 15:04
	// AppliesTo is the priorities that wait.
	AppliesTo []string `json:"appliesTo" jsonschema:"required,minItems=1,maxItems=2,enum=transactional,enum=marketing" yaml:"appliesTo"`
}

// checkDelivery finds the mistakes that concern several fields.
func (d *document) checkDelivery(policy *DeliveryPolicy) {
	channels := policy.Spec.Channels
	for name, quiet := range map[string]*QuietHours{
		"sms": channels.SMS.QuietHours, "email": channels.Email.QuietHours, "push": channels.Push.QuietHours,
	} {
		path := "spec.channels." + name + ".quietHours"
		if quiet != nil && quiet.From != "" && quiet.From == quiet.To && d.sound(path+".from", path+".to") {
			d.report(path+".to", d.at(path+".to"), quiet.To, "is when they start", "quiet hours of a whole day would send nothing")
		}
	}
}
