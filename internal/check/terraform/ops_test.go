package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeAWS answers as aws does for one task that ran. FAKE_ENDED is how it ended.
const fakeAWS = `#!/bin/sh
echo "$*" >> "$FAKE_CALLS"
case "$1 $2" in
"ecs describe-services")
  case "$*" in *novaura-acs-nowhere*) echo '{"services":[]}'; exit 0;; esac
  echo '{"services":[{"taskDefinition":"arn:aws:ecs:us-east-1:1:task-definition/novaura-acs-processor:7","networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-1"],"securityGroups":["sg-1"],"assignPublicIp":null}}}]}' ;;
"ecs describe-task-definition")
  case "$*" in *-ops*) name=ops ;; *) name=communication-processor-worker ;; esac
  echo '{"taskDefinition":{"containerDefinitions":[{"name":"'$name'","logConfiguration":{"options":{"awslogs-group":"/ecs/x","awslogs-stream-prefix":"p"}}}]}}' ;;
"ecs run-task") echo '{"tasks":[{"taskArn":"arn:aws:ecs:us-east-1:1:task/c/abc"}]}' ;;
"ecs wait") ;;
"logs get-log-events")
  case "$*" in *--next-token*) echo '{"events":[],"nextForwardToken":"f/1"}' ;;
  *) echo '{"events":[{"message":"OK database"},{"message":"FAIL queue sms"}],"nextForwardToken":"f/1"}' ;; esac ;;
"ecs describe-tasks") echo "$FAKE_ENDED" ;;
esac
`

func TestAnOnCallCommandRunsAsATaskAndPrintsItsLog(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq is not installed")
	}
	const exited = `{"tasks":[{"containers":[{"exitCode":1}]}]}`
	for name, tc := range map[string]struct {
		args, environment []string
		ended             string
		called, printed   string
		exit              int
	}{
		"doctor runs with the worker's own definition, and its exit code is returned": {
			args: []string{"worker", "doctor"}, ended: exited, exit: 1, printed: "OK database\nFAIL queue sms\n",
			called: `run-task --cluster novaura-acs-processor-cluster --task-definition arn:aws:ecs:us-east-1:1:task-definition/novaura-acs-processor:7`,
		},
		"redrive runs with the ops definition": {
			args: []string{"worker", "redrive", "--dry-run"}, ended: `{"tasks":[{"containers":[{"exitCode":0}]}]}`, exit: 0, printed: "OK database",
			called: `--task-definition novaura-acs-ops --launch-type FARGATE`,
		},
		"arguments arrive as they are": {
			args: []string{"controller", "pause", "--reason", `a "quoted" reason`}, ended: exited, exit: 1,
			called: `"command":["pause","--reason","a \"quoted\" reason"]`,
		},
		"another environment has other names": {
			args: []string{"worker", "doctor"}, environment: []string{"ACS_NAME=novaura-acs-staging"}, ended: exited, exit: 1,
			called: `--services novaura-acs-staging-communication-processor-worker-service`,
		},
		"a task that never ran says why": {
			args: []string{"worker", "doctor"}, ended: `{"tasks":[{"stoppedReason":"CannotPullContainerError: v9 not found","containers":[{}]}]}`, exit: 1,
			printed: "the task did not run: CannotPullContainerError: v9 not found",
		},
		"a service that does not exist is named": {
			args: []string{"worker", "doctor"}, environment: []string{"ACS_NAME=novaura-acs-nowhere"}, exit: 1,
			printed: "there is no service novaura-acs-nowhere-communication-processor-worker-service in the cluster novaura-acs-nowhere-processor-cluster: set ACS_NAME",
		},
		"without a command the usage is shown": {args: []string{"worker"}, exit: 2, printed: "ops controller pause"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			calls := filepath.Join(folder, "calls")
			if err := os.WriteFile(filepath.Join(folder, "aws"), []byte(fakeAWS), 0o700); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "../../../terraform/ops", tc.args...)
			cmd.Env = append([]string{"PATH=" + folder + ":" + os.Getenv("PATH"), "FAKE_CALLS=" + calls, "FAKE_ENDED=" + tc.ended}, tc.environment...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := cmd.Run()
			exit := (*exec.ExitError)(nil)
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tc.exit {
				t.Errorf("got exit code %d, want %d\n%s", got, tc.exit, &out)
			}
			if !strings.Contains(out.String(), tc.printed) {
				t.Errorf("got %q, want %q", &out, tc.printed)
			}
			called, err := os.ReadFile(calls)
			if tc.called != "" && (err != nil || !strings.Contains(string(called), tc.called)) {
				t.Errorf("got calls\n%s%v\nwant %s", called, err, tc.called)
			}
		})
	}
}
