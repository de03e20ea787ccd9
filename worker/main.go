// Command worker turns each message of its queues into exactly one effect and
// one row of history.
package main

import (
	"context"
	"io"

	"github.com/novaura/acs-operator/internal/cli"
)

func main() { cli.Main(run) }

// grammar has the verbs; two have the names that the predecessor's task
// definitions and runbooks call them by.
type grammar struct {
	Doctor       doctorCommand       `cmd:"" help:"Check all that a worker needs, and say what to do; changes nothing."`
	Run          runCommand          `cmd:"" aliases:"run_communication_worker" help:"Process the queues until stopped."`
	Send         sendCommand         `cmd:"" aliases:"build_sqs_message" help:"Put messages on a queue, as an application would."`
	Events       eventsCommand       `cmd:"" help:"Show the history of messages."`
	DeadLetters  deadLettersCommand  `cmd:"" name:"deadletters" help:"List, show and discard dead letters."`
	Redrive      redriveCommand      `cmd:"" help:"Try dead letters again."`
	Prune        pruneCommand        `cmd:"" help:"Erase old addresses from the history, and delete older events."`
	Forget       forgetCommand       `cmd:"" help:"Erase a person from the history, and never write to them again."`
	Suppressions suppressionsCommand `cmd:"" help:"Who is not written to any more: list, add, remove."`
	Health       healthCommand       `cmd:"" help:"Ask a running worker whether it lives: the container's health check."`
	Migrate      migrateCommand      `cmd:"" help:"Bring the database's schema up to date."`
	Schema       schemaCommand       `cmd:"" help:"Print the JSON Schema of a message."`
}

// run is the worker as a function, so that tests call it as a shell would.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return cli.Run(ctx, "worker", "Turns each message of its queues into exactly one effect and one row of history.",
		&grammar{}, args, cli.Streams{In: in, Out: out, Err: errOut})
}
