package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/message"
)

// reportsOf is how many delivery reports come of one message: three of a text,
// one of a mail.
var reportsOf = map[message.Channel]float64{message.SMS: 3, message.Email: 1}

// greet writes the environment for the commands, and says what a newcomer needs.
func greet(out io.Writer, o *options, s *standIns, programs binaries, workerEnv map[string]string) error {
	file, err := writeEnvironment(o, s, filepath.Dir(programs.worker), workerEnv)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, `
  page      http://%s
  outbox    %s/outbox    what people would have received
  policy    %s
            edit it: the controller follows
  logs      %s

In another terminal, first:

  source %s

  controller get     what the controller does, and why
  worker doctor      checks the settings, queues, database and providers
  worker events      the newest messages
  worker send --to-number +14155550123 --body 'Hello {n}' --count 10
  aws --endpoint-url %[2]s sqs list-queues

`, o.Listen, s.endpoint, o.Policy, near(filepath.Join(o.Data, "logs")), near(file))
	if o.Load != "none" {
		_, _ = fmt.Fprintf(out, "Load: %s, %g messages/s. Delivery reports come back on the same queues: about %.0f/s arrive in all.\n\n", o.Load, o.Rate, o.Rate*arrivalsPerMessage(o.Channels))
	}
	return nil
}

// arrivalsPerMessage is how many messages arrive on the queues for one of the
// load: itself and its delivery reports.
func arrivalsPerMessage(channels []string) float64 {
	arrivals, total := 0.0, 0
	for channel, weight := range weights {
		if slices.Contains(channels, string(channel)) {
			arrivals += float64(weight) * (1 + reportsOf[channel])
			total += weight
		}
	}
	return arrivals / max(1, float64(total))
}

// writeEnvironment writes the file env, for a shell to source: what every
// command of the worker and the controller needs, and the programs themselves in
// PATH. It returns the file's path.
func writeEnvironment(o *options, s *standIns, programs string, workerEnv map[string]string) (string, error) {
	env := maps.Clone(workerEnv)
	maps.Copy(env, map[string]string{
		"AWS_ENDPOINT_URL": s.endpoint, "AWS_REGION": region, "AWS_DEFAULT_REGION": region,
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_EC2_METADATA_DISABLED": "true",
		"CONTROLLER_POLICY": absolute(o.Policy),
	})
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(env)) {
		_, _ = fmt.Fprintf(&text, "export %s=%s\n", name, quote(env[name]))
	}
	_, _ = fmt.Fprintf(&text, "export PATH=%s:\"$PATH\"\n", quote(programs))
	path := filepath.Join(o.Data, "env")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		return "", fmt.Errorf("write the environment for the commands: %w", err)
	}
	return path, nil
}

// near is a path as seen from the working directory, where it lies below it.
func near(path string) string {
	folder, err := os.Getwd()
	if err != nil {
		return path
	}
	if relative, err := filepath.Rel(folder, path); err == nil && filepath.IsLocal(relative) {
		return relative
	}
	return path
}

// quote makes one word of text for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// absolute makes the paths of a policy source hold in every folder.
func absolute(policy string) string {
	parts := strings.Split(policy, ",")
	for i, part := range parts {
		if path, err := filepath.Abs(part); err == nil && isLocal(part) {
			parts[i] = path
		}
	}
	return strings.Join(parts, ",")
}

// isLocal says that a policy source is a file or a folder of this machine.
func isLocal(source string) bool {
	return !strings.Contains(source, "://") && !strings.HasPrefix(source, "store:")
}

// defaultPolicy is --policy's default.
const defaultPolicy = "config/scaling-policy.yaml,config/alert-policy.yaml"

// findPolicies makes sure that the policies are there: the controller could
// never start without. In a folder that has none the shipped ones are copied to
// the data folder, unless an earlier run did.
func findPolicies(o *options, out io.Writer) error {
	missing := ""
	for part := range strings.SplitSeq(o.Policy, ",") {
		if _, err := os.Stat(part); isLocal(part) && errors.Is(err, fs.ErrNotExist) {
			missing = part
			break
		}
	}
	switch {
	case missing == "":
		return nil
	case o.Policy != defaultPolicy:
		return cli.Usagef("--policy: there is no file or folder %s; name one that is there, or leave the flag out", missing)
	}
	folder := filepath.Join(o.Data, "policies")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("copy the shipped policies: %w", err)
	}
	for _, file := range config.Shipped() {
		path := filepath.Join(folder, file.Name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.WriteFile(path, file.Data, 0o600); err != nil {
			return fmt.Errorf("copy the shipped policies: %w", err)
		}
	}
	_, _ = fmt.Fprintf(out, "There is no %s here: using the shipped policies in %s\n", missing, near(folder))
	o.Policy = folder
	return nil
}
