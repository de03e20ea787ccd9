package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/novaura/acs-operator/internal/check/harness"
)

func policyIncidents() []Incident {
	return []Incident{
		{
			ID: "policy-wrong", Short: true, Name: "A policy edit is wrong",
			Cause: edit((*Stage).scalingPolicy, fmt.Sprint("maxTasks: ", usualMost), "maxTasks: many"), End: restore((*Stage).scalingPolicy),
			Expect: Expect{
				Count: Held(), Alerts: []string{"PolicyRefused"}, Words: []string{"scaling-policy.yaml:", "maxTasks", "many"},
				Status: []string{"PolicyRefused"}, Resolves: true,
			},
		},
		{
			ID: "policy-hangs", Name: "A policy edit has a message template that never ends",
			Cause: editSpec((*Stage).alertPolicy, addBomb), End: restore((*Stage).alertPolicy),
			Expect: Expect{
				Count: Held(), Alerts: []string{"PolicyRefused"}, Words: []string{"alert-policy.yaml:", "range"},
				Status: []string{"PolicyRefused"}, Resolves: true,
			},
		},
		{
			ID: "controller-killed", Short: true, Name: "The controller is killed",
			Cause: kill("controller"), End: nothing, During: time.Minute,
			Expect: Expect{Count: Held(), Printed: []string{"the controller"}},
		},
		{
			ID: "two-controllers", Name: "A second controller with a database of its own scales the same service",
			Cause: secondController, End: stopOthers,
			Expect: Expect{Count: AtMost(otherTasks), Alerts: []string{"CountChangedByOthers"}, Words: []string{"controller"}, Resolves: true},
		},
	}
}

// addBomb gives the first rule a message that would never be written to its end.
func addBomb(spec map[string]any) {
	rules, _ := spec["rules"].([]any)
	if len(rules) == 0 {
		return
	}
	if rule, isRule := rules[0].(map[string]any); isRule {
		rule["message"] = "{{ range 1000000 }}{{ range 1000000 }}{{ end }}{{ end }}"
	}
}

// otherTasks is the least that the second controller wants.
const otherTasks = 4

// secondController runs one that knows nothing of the first.
func secondController(ctx context.Context, s *Stage) error {
	policy := filepath.Join(s.folder, "second-policy.yaml")
	if err := rewrite(s.scalingPolicy(), policy, func(spec map[string]any) { spec["minTasks"] = otherTasks }); err != nil {
		return err
	}
	env := harness.Environment(s.endpoint, "local",
		"DATABASE_URL=sqlite:"+filepath.Join(s.folder, "second.db"), "CONTROLLER_POLICY="+policy, "CONTROLLER_LISTEN=127.0.0.1:0", "CONTROLLER_METRICS_LISTEN=127.0.0.1:0")
	process, err := harness.Start(context.WithoutCancel(ctx), filepath.Join(s.folder, "second-controller.log"), env, s.programs.controller, "run")
	if err == nil {
		s.others = append(s.others, process)
	}
	return err
}

func stopOthers(_ context.Context, s *Stage) error {
	others := s.others
	s.others = nil
	for _, process := range others {
		if err := process.Stop(); err != nil {
			return err
		}
	}
	return nil
}
