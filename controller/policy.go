package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/awsclient"
	"github.com/novaura/acs-operator/internal/cli"
)

// policyFlag is how every verb that needs a policy is given one.
type policyFlag struct {
	Policy string `env:"CONTROLLER_POLICY" default:"config/scaling-policy.yaml" placeholder:"SOURCE" help:"Where the policies are: a file or a folder, or several with commas between."`
}

// load reads and checks the policies once.
func (f policyFlag) load(ctx context.Context) (*config.Policies, error) {
	files, err := f.read(ctx)
	if err != nil {
		return nil, err
	}
	policies, err := config.Parse(files...)
	if err != nil {
		return nil, &cli.UsageError{Err: refusal(err)}
	}
	return policies, nil
}

// read reads the files once.
func (f policyFlag) read(ctx context.Context) ([]config.File, error) {
	src, err := source.Open(f.Policy)
	if err != nil {
		return nil, &cli.UsageError{Err: err}
	}
	files, err := source.Read(ctx, src)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usagef("%w; name the policies with --policy or CONTROLLER_POLICY", err)
	}
	if err != nil {
		return nil, unread(err)
	}
	return files, nil
}

// unread is a source that could not be read: a wrong setting, unless AWS did not
// give it, or it did not answer.
func unread(err error) error {
	refused, stalled := (*awsclient.CallError)(nil), (*source.StalledError)(nil)
	if errors.As(err, &refused) || errors.As(err, &stalled) {
		return err
	}
	return &cli.UsageError{Err: err}
}

// one picks the ScalingPolicy that is called name, or the only one.
func one(policies *config.Policies, name string) (*config.ScalingPolicy, error) {
	names := make([]string, 0, len(policies.Scaling))
	for _, p := range policies.Scaling {
		if p.Metadata.Name == name || name == "" && len(policies.Scaling) == 1 {
			return p, nil
		}
		names = append(names, p.Metadata.Name)
	}
	switch {
	case len(names) == 0:
		return nil, cli.Usagef("there is no ScalingPolicy in the source")
	case name == "":
		return nil, cli.Usagef("there are %d ScalingPolicies: name one of %s with --name", len(names), strings.Join(names, ", "))
	default:
		return nil, cli.Usagef("there is no ScalingPolicy %q, only %s", name, strings.Join(names, ", "))
	}
}

// refusal puts each mistake on a line of its own.
func refusal(err error) error {
	return fmt.Errorf("the policy is not valid:\n%w", err)
}

type validateCommand struct {
	Files []string `arg:"" optional:"" name:"file" help:"Files or folders; without any, the policy source."`
	policyFlag
}

func (c validateCommand) Run(ctx context.Context, streams cli.Streams) error {
	if len(c.Files) == 0 {
		c.Files = []string{c.Policy}
	}
	var files []config.File
	for _, name := range c.Files {
		src, err := source.Open(name)
		if err != nil {
			return &cli.UsageError{Err: err}
		}
		read, err := source.Read(ctx, src)
		if err != nil {
			return unread(err)
		}
		files = append(files, read...)
	}
	policies, err := config.Parse(files...)
	if err != nil {
		return &cli.UsageError{Err: refusal(err)}
	}
	for _, p := range policies.Scaling {
		_, _ = fmt.Fprintf(streams.Out, "ScalingPolicy %s is valid: %s/%s, %d to %d tasks, %d queue(s)\n",
			p.Metadata.Name, p.Spec.Target.Cluster, p.Spec.Target.Service, p.Spec.MinTasks, p.Spec.MaxTasks, len(p.Spec.Queues))
	}
	for _, p := range policies.Alert {
		_, _ = fmt.Fprintf(streams.Out, "AlertPolicy %s is valid: %d rule(s), %d receiver(s)\n", p.Metadata.Name, len(p.Spec.Rules), len(p.Spec.Receivers))
	}
	for _, p := range policies.Delivery {
		_, _ = fmt.Fprintf(streams.Out, "DeliveryPolicy %s is valid: addresses are kept for %s\n", p.Metadata.Name, p.Spec.Retention)
	}
	return nil
}

type schemaCommand struct {
	Kind string `arg:"" optional:"" default:"ScalingPolicy" help:"The kind of policy."`
}

func (c schemaCommand) Run(streams cli.Streams) error {
	schema, err := config.Schema(c.Kind)
	if err != nil {
		return &cli.UsageError{Err: err}
	}
	_, err = streams.Out.Write(schema)
	return err
}
