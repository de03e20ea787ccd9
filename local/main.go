// Command local is the whole system on one machine: an AWS endpoint and the
// providers' APIs as stand-ins, the shipped controller, and the shipped workers
// as tasks of a local ECS. It needs no account and no other server.
package main

import (
	"context"
	"io"
	"time"

	"github.com/novaura/acs-operator/internal/cli"
)

func main() { cli.Main(run) }

// options is what one can choose of the local system.
type options struct {
	Listen       string        `env:"LOCAL_LISTEN" default:"127.0.0.1:8080" help:"Where the page is served."`
	AWS          string        `name:"aws" env:"LOCAL_AWS" default:"127.0.0.1:4566" help:"Where the AWS endpoint, the providers' APIs and the outbox are served."`
	Data         string        `env:"LOCAL_DATA" default:".local" type:"path" help:"The folder for the database, logs and binaries."`
	Database     string        `env:"LOCAL_DATABASE" placeholder:"URL" help:"sqlite:FILE or postgres://…; otherwise the file acs.db in the data folder."`
	Policy       string        `env:"CONTROLLER_POLICY" default:"config/scaling-policy.yaml,config/alert-policy.yaml" placeholder:"SOURCE" help:"The policies that the controller follows; edit them while it runs. Without a folder config here: the shipped ones, copied to the data folder."`
	Load         string        `env:"LOCAL_LOAD" enum:"none,steady,day,burst" default:"steady" help:"What arrives: none, steady, day (a day in 24 minutes), or burst (steady, and 5,000 at once after 100 s and every five minutes)."`
	Channels     []string      `env:"LOCAL_CHANNELS" enum:"sms,email,push" default:"sms,email,push" help:"The channels that the load arrives on; most of it as texts."`
	Rate         float64       `env:"LOCAL_RATE" default:"20" help:"Messages a second, in the mean. Delivery reports come back on the same queues, and count beside them."`
	For          time.Duration `env:"LOCAL_FOR" placeholder:"DURATION" help:"Stop by itself when the system has been up for so long, and print a summary."`
	Only         string        `enum:",aws" default:"" placeholder:"aws" help:"aws: serve the AWS endpoint alone, empty."`
	Account      string        `env:"LOCAL_ACCOUNT" default:"123456789012" help:"The AWS account number."`
	StartLag     time.Duration `env:"LOCAL_START_LAG" default:"5s" help:"How long a task takes to start (Fargate: 30s to 90s)."`
	MetricsDelay time.Duration `env:"LOCAL_METRICS_DELAY" default:"15s" help:"How long after its end a CloudWatch minute appears (AWS: one to three minutes)."`
}

// run is the local system as a function, so that tests call it as a shell
// would.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return cli.Run(ctx, "local", "The whole system on one machine, with no account: open the page it names, and edit the policy.",
		&options{}, args, cli.Streams{In: in, Out: out, Err: errOut})
}

// Run starts the system, and returns when it has stopped and no process is
// left.
func (o *options) Run(ctx context.Context, streams cli.Streams) error {
	if o.Only == "aws" {
		return serveOnlyAWS(ctx, o, streams)
	}
	return runSystem(ctx, o, streams)
}

// bounded ends with ctx, or when the time that --for gives is over.
func (o *options) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.For > 0 {
		return context.WithTimeout(ctx, o.For)
	}
	return context.WithCancel(ctx)
}
