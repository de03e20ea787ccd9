package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/redact"
)

// AlertPolicy says when people are told, and how; read by the controller.
type AlertPolicy struct {
	Metadata Metadata  `json:"metadata" jsonschema:"required" yaml:"metadata"`
	Spec     AlertSpec `json:"spec"     jsonschema:"required" yaml:"spec"`

	rules []*Rule // Spec.Rules, compiled
}

// Rules returns the rules of a policy that Parse made, ready to be judged.
func (p *AlertPolicy) Rules() []*Rule { return p.rules }

// Retired is what is left of p once next is followed in its place (nil: p is
// gone): no rule, and the receivers that next does not have, so that whoever
// was told of an alert can be told that it is over. Nil: nothing is left.
func (p *AlertPolicy) Retired(next *AlertPolicy) *AlertPolicy {
	left := &AlertPolicy{Metadata: p.Metadata, Spec: p.Spec}
	left.Spec.Rules = nil
	if next != nil {
		left.Spec.Receivers = slices.DeleteFunc(slices.Clone(p.Spec.Receivers), func(r Receiver) bool {
			return slices.ContainsFunc(next.Spec.Receivers, func(n Receiver) bool { return n.Name == r.Name })
		})
	}
	if len(left.Spec.Receivers) == 0 {
		return nil
	}
	return left
}

// AlertSpec is what the operator wants.
type AlertSpec struct {
	// GroupWait is how long a first alert waits for others; default 30s.
	GroupWait time.Duration `json:"groupWait" jsonschema:"minimum=0s,maximum=1h" yaml:"groupWait"`
	// GroupInterval is the least time between two messages of a group that
	// changed; default 5m.
	GroupInterval time.Duration `json:"groupInterval" jsonschema:"minimum=1s,maximum=24h" yaml:"groupInterval"`
	// RepeatInterval is the time after which an unchanged group is told again;
	// default 4h.
	RepeatInterval time.Duration `json:"repeatInterval" jsonschema:"minimum=1m,maximum=744h" yaml:"repeatInterval"`
	Receivers      []Receiver    `json:"receivers"      jsonschema:"required,minItems=1,maxItems=100" yaml:"receivers"`
	Rules          []AlertRule   `json:"rules"          jsonschema:"required,minItems=1,maxItems=1000" yaml:"rules"`
}

// Receiver is one way to people: a name and exactly one of the others.
type Receiver struct {
	Name      string             `form:"name"                json:"name"      jsonschema:"required" yaml:"name"`
	SMS       *SMSReceiver       `json:"sms,omitempty"       yaml:"sms"`
	Slack     *SlackReceiver     `json:"slack,omitempty"     yaml:"slack"`
	Webhook   *WebhookReceiver   `json:"webhook,omitempty"   yaml:"webhook"`
	SNS       *SNSReceiver       `json:"sns,omitempty"       yaml:"sns"`
	Email     *EmailReceiver     `json:"email,omitempty"     yaml:"email"`
	PagerDuty *PagerDutyReceiver `json:"pagerduty,omitempty" yaml:"pagerduty"`
}

// Recipients is how many people or places a receiver reaches, each told for
// itself.
func (r Receiver) Recipients() int {
	switch {
	case r.SMS != nil:
		return len(r.SMS.To)
	case r.Email != nil:
		return len(r.Email.To)
	default:
		return 1
	}
}

// SMSReceiver texts people: one text a recipient and message.
type SMSReceiver struct {
	To []redact.Personal `form:"phone" json:"to" jsonschema:"required,minItems=1,maxItems=100" yaml:"to"` // E.164
	// MaxPerHour bounds the texts of this receiver, over all recipients; 0
	// stands for the default, 30.
	MaxPerHour int `json:"maxPerHour,omitempty" jsonschema:"minimum=1,maximum=1000" yaml:"maxPerHour,omitempty"`
}

// SlackReceiver posts to a channel's incoming webhook.
type SlackReceiver struct {
	WebhookURL SecretRef `json:"webhookURL" jsonschema:"required" yaml:"webhookURL"`
}

// WebhookReceiver posts JSON, in the format of Alertmanager's webhook.
type WebhookReceiver struct {
	URL string `form:"url" json:"url" jsonschema:"required" yaml:"url"`
	// BearerToken goes along as the Authorization, where it is given.
	BearerToken *SecretRef `json:"bearerToken,omitempty" yaml:"bearerToken,omitempty"`
}

// SNSReceiver publishes to a topic.
type SNSReceiver struct {
	TopicARN string `form:"topicARN" json:"topicARN" jsonschema:"required" yaml:"topicARN"`
}

// EmailReceiver mails people.
type EmailReceiver struct {
	To []redact.Personal `form:"mail" json:"to" jsonschema:"required,minItems=1,maxItems=100" yaml:"to"`
}

// PagerDutyReceiver triggers an incident by the Events API v2.
type PagerDutyReceiver struct {
	RoutingKey SecretRef `json:"routingKey" jsonschema:"required" yaml:"routingKey"`
}

// SecretRef is a secret: plain text in the file, or {env: NAME}, which keeps
// it out of the file.
type SecretRef struct {
	Env   string        `form:"envName" json:"env,omitempty" jsonschema:"required" yaml:"env"`
	Value redact.Secret `json:"-"       yaml:"-"` // set if Env is empty
}

func (s *SecretRef) setText(text string) { s.Value = redact.Secret(text) }

// The severities of an alert.
const (
	SeverityCritical = "critical" // someone is needed now
	SeverityWarning  = "warning"  // someone is needed this week
	SeverityInfo     = "info"
)

// maxAlertName is how many characters an alert's name may have: a text must have
// room for more than it.
const maxAlertName = 100

// AlertRule is one condition and whom it concerns.
type AlertRule struct {
	Alert string `json:"alert" jsonschema:"required" yaml:"alert"`
	// For is how long Expr must hold before the alert fires; default 0s.
	For time.Duration `json:"for" jsonschema:"minimum=0s,maximum=744h" yaml:"for"`
	// KeepFiringFor is how long it fires on after Expr held; default 0s.
	KeepFiringFor time.Duration `json:"keepFiringFor" jsonschema:"minimum=0s,maximum=744h"              yaml:"keepFiringFor"`
	Severity      string        `json:"severity"      jsonschema:"enum=critical,enum=warning,enum=info" yaml:"severity"` // default warning
	// Expr is the condition, in CEL (docs/alerts.md lists its variables). If
	// it names queue, the rule is judged for every queue of every
	// ScalingPolicy; otherwise once a ScalingPolicy.
	Expr      string   `json:"expr"      jsonschema:"required"            yaml:"expr"`
	Receivers []string `json:"receivers" jsonschema:"required,minItems=1,maxItems=100" yaml:"receivers"`
	// Message is a text/template over the same variables, of at most 1,000
	// characters; default: the condition and the values that it names. It may
	// contain text, fields, if with else, and the functions and, eq, ge, gt, le,
	// lt, ne, not, or and printf.
	Message string `json:"message" yaml:"message"`
	// InhibitedBy names the rules that explain this one. While one of them fires
	// for the same queue of the same ScalingPolicy (or either alert is about the
	// whole service), no notification is sent for this alert; it is still judged
	// and shown. A rule without receivers inhibits nothing. Default: none.
	InhibitedBy []string `json:"inhibitedBy,omitempty" jsonschema:"maxItems=50" yaml:"inhibitedBy,omitempty"`
	// RunbookURL is a link to what to do, sent with every notification. Default:
	// for a rule with the name of a built-in one, its section of docs/runbook.md;
	// for others, none. "" stands for none.
	RunbookURL string `form:"urlOrNothing" json:"runbookURL,omitempty" yaml:"runbookURL,omitempty"`
}

// checkAlert finds the mistakes that concern several fields.
func (d *document) checkAlert(policy *AlertPolicy) {
	names, known := newFirsts(d, "receiver"), []string(nil)
	for i, receiver := range policy.Spec.Receivers {
		path := fmt.Sprintf("spec.receivers[%d]", i)
		d.checkReceiver(path, receiver)
		names.check(path+".name", receiver.Name)
		known = append(known, receiver.Name)
	}
	alerts := newFirsts(d, "alert")
	for i, rule := range policy.Spec.Rules {
		path := fmt.Sprintf("spec.rules[%d]", i)
		d.short(path+".alert", rule.Alert, maxAlertName)
		alerts.check(path+".alert", rule.Alert)
		if compiled := d.compileRule(path, rule); compiled != nil {
			policy.rules = append(policy.rules, compiled)
		}
		for j, receiver := range rule.Receivers {
			sub := fmt.Sprintf("%s.receivers[%d]", path, j)
			if _, ok := names.places[receiver]; !ok && receiver != "" && d.sound(sub, "spec.receivers") {
				d.report(sub, d.at(sub), receiver, "is not a receiver of this policy", suggest(receiver, known, "its receivers are "))
			}
		}
	}
	d.checkInhibition(policy.Spec.Rules)
}

// checkInhibition finds names that are no rule, and rules that inhibit each
// other, so that nobody would hear of either.
func (d *document) checkInhibition(rules []AlertRule) {
	inhibitors, known := map[string][]string{}, []string(nil)
	for _, rule := range builtInRules() {
		inhibitors[rule.Alert] = rule.InhibitedBy
	}
	for _, rule := range rules {
		inhibitors[rule.Alert] = rule.InhibitedBy // in place of the built-in one
	}
	for name := range inhibitors {
		known = append(known, name)
	}
	slices.Sort(known)
	for i, rule := range rules {
		for j, name := range rule.InhibitedBy {
			path := fmt.Sprintf("spec.rules[%d].inhibitedBy[%d]", i, j)
			_, exists := inhibitors[name]
			switch {
			case !d.sound(path) || name == "":
			case !exists:
				d.report(path, d.at(path), name, "is not a rule of this policy, and not a built-in one", suggest(name, known, "the rules are "))
			case name == rule.Alert:
				d.report(path, d.at(path), name, "is the rule itself", "name the rule that explains it")
			case leadsTo(inhibitors, name, rule.Alert, map[string]bool{}):
				d.report(path, d.at(path), name, "is itself inhibited by "+rule.Alert, "let only one of them inhibit the other, or nobody hears of either")
			}
		}
	}
}

// leadsTo tells whether from is inhibited by to, directly or through others.
func leadsTo(inhibitors map[string][]string, from, to string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	return slices.ContainsFunc(inhibitors[from], func(next string) bool { return next == to || leadsTo(inhibitors, next, to, seen) })
}

// checkReceiver holds a receiver to exactly one way.
func (d *document) checkReceiver(path string, receiver Receiver) {
	var ways, given []string
	for field, value := range reflect.ValueOf(receiver).Fields() {
		if value.Kind() != reflect.Pointer {
			continue
		}
		name := field.Tag.Get("yaml")
		if ways = append(ways, name); d.given(path + "." + name) {
			given = append(given, name)
		}
	}
	switch {
	case !d.sound(path) || len(given) == 1:
	case len(given) == 0:
		d.report(path, d.at(path), "", "says no way to reach people", "give one of "+strings.Join(ways, ", "))
	default:
		d.report(path, d.at(path), "", "has "+strings.Join(given, " and "), "give one, and another receiver for the other")
	}
}
