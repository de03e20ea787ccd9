// Package alerting decides who is told what, and when.
//
// It is pure: values in, values out; no I/O, no clock, no goroutine. It
// imports config, scaling's values, the standard library and pure libraries.
// Start with Step.
//
// # The life of an alert
//
// As Prometheus has it; every rule is judged at every step.
//
//	           the condition holds           it has held for `for`
//	(nothing) ────────────────────▶ pending ──────────────────────▶ firing
//	    ▲   it holds not               │                               │ it has not held
//	    ├──────────────────────────────┘                               │ for keepFiringFor
//	    └──────────────── resolved ◀───────────────────────────────────┘
//
// A condition that turns on something unknown neither holds nor holds not: the
// alert stays as it is, its clocks stand still, and it says what is unknown.
//
// # The life of a notification
//
// As Alertmanager has it. A group is the alerts of one rule and one
// ScalingPolicy (all its queues), for one recipient of one receiver. It is
// first looked at groupWait after its first alert fired, then every
// groupInterval; each look compares what fires and what was resolved with what
// the recipient was last told (see Reason). What it was told is written down
// by State.Confirm after the receiver has taken it: a crash in between tells
// it twice, never not at all.
package alerting
