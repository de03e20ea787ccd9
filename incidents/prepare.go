package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"
)

// The shipped policies, which every incident runs with a copy of.
const (
	shippedScaling = "config/scaling-policy.yaml"
	shippedAlerts  = "config/alert-policy.yaml"
)

// What the copies change, so that an incident takes minutes: how often the
// controller looks, how soon it scales down, and how long a notification waits.
// How long an alert must hold before it fires (for) stays as shipped.
const (
	interval      = "5s"
	groupWait     = "5s"
	groupInterval = "10s"
	longestLinger = 30 * time.Second // keepFiringFor
	scaleDownWait = "30s"            // behavior.scaleDown.stabilizationWindow
	receiverName  = "incidents"
)

func (s *Stage) scalingPolicy() string { return filepath.Join(s.folder, "scaling-policy.yaml") }
func (s *Stage) alertPolicy() string   { return filepath.Join(s.folder, "alert-policy.yaml") }

// writePolicies copies the shipped policies, with hook as the only receiver.
func (s *Stage) writePolicies(hook string) error {
	return errors.Join(
		rewrite(shippedScaling, s.scalingPolicy(), func(spec map[string]any) {
			spec["interval"], spec["minTasks"], spec["maxTasks"] = interval, s.setup.MinTasks, s.setup.MaxTasks
			spec["behavior"] = map[string]any{"scaleDown": map[string]any{"stabilizationWindow": scaleDownWait}}
		}),
		rewrite(shippedAlerts, s.alertPolicy(), func(spec map[string]any) { quicken(spec, hook) }))
}

// quicken sends every alert to hook, and soon.
func quicken(spec map[string]any, hook string) {
	spec["groupWait"], spec["groupInterval"] = groupWait, groupInterval
	spec["receivers"] = []any{map[string]any{"name": receiverName, "webhook": map[string]any{"url": hook}}}
	rules, _ := spec["rules"].([]any)
	for _, one := range rules {
		rule, isRule := one.(map[string]any)
		if !isRule {
			continue
		}
		rule["receivers"] = []any{receiverName}
		text, _ := rule["keepFiringFor"].(string)
		if linger, err := time.ParseDuration(text); err == nil && linger > longestLinger {
			rule["keepFiringFor"] = longestLinger.String()
		}
	}
}

// rewrite copies a file of policies, with each one's spec changed.
func rewrite(from, to string, change func(spec map[string]any)) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("copy a shipped policy: %w; run this in the checkout", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	for {
		var policy map[string]any
		if err := decoder.Decode(&policy); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
		spec, isMap := policy["spec"].(map[string]any)
		if !isMap {
			return fmt.Errorf("copy %s: a policy has no spec", from)
		}
		change(spec)
		if err := encoder.Encode(policy); err != nil {
			return err
		}
	}
	return errors.Join(encoder.Close(), os.WriteFile(to, out.Bytes(), 0o600))
}
