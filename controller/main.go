// Command controller keeps an ECS service at the count of tasks that its
// queues need, and says why.
package main

import (
	"context"
	"io"

	"github.com/novaura/acs-operator/internal/cli"
)

func main() { cli.Main(run) }

type grammar struct {
	Run       runCommand       `cmd:"" help:"Reconcile until stopped, and serve the page and the API."`
	Validate  validateCommand  `cmd:"" help:"Check policy files: every mistake at once, each with file:line:column."`
	Plan      planCommand      `cmd:"" help:"Show what one reconcile would do, and why, changing nothing."`
	Get       getCommand       `cmd:"" help:"List the policies: tasks, what waits, health."`
	Describe  describeCommand  `cmd:"" help:"Show all about one policy: its last decision step by step, conditions, events."`
	History   historyCommand   `cmd:"" help:"List recorded decisions, or replay one."`
	Pause     pauseCommand     `cmd:"" help:"Hold a policy's count for a while, with an author and a reason."`
	Resume    resumeCommand    `cmd:"" help:"End a pause."`
	Explain   explainCommand   `cmd:"" help:"Explain a field of a policy, as in kubectl."`
	Decide    decideCommand    `cmd:"" help:"Read one observation a line (JSON), write one decision a line."`
	Alerts    alertsCommand    `cmd:"" help:"List the alerts as they stand, or test a receiver."`
	Silence   silenceCommand   `cmd:"" help:"Tell nobody of some alerts for a while; list and end that."`
	Health    healthCommand    `cmd:"" help:"Ask a running controller whether it is alive (exit code 0) or not (1)."`
	Simulate  simulateCommand  `cmd:"" help:"Play days of arrivals against the policy and the autoscalers that people use instead."`
	Recommend recommendCommand `cmd:"" help:"Say which Fargate size the tasks need, and what a million messages cost, today and then."`
	Schema    schemaCommand    `cmd:"" help:"Print the JSON Schema of a kind of policy."`
}

// run is the controller as a function, so that tests call it as a shell would.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return cli.Run(ctx, "controller", "Keeps an ECS service at the count of tasks that its queues need, and says why.",
		&grammar{}, args, cli.Streams{In: in, Out: out, Err: errOut})
}
