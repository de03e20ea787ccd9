// Command iamproof proves the roles' policies against what the programs really
// ask of AWS: it plans terraform/ and takes the policies from the plan, runs
// the shipped worker and controller end to end against the sandbox behind a
// recorder, and holds every recorded call, and a list of neighbouring calls
// that must be denied, against the policies. Permissions that nothing used are
// listed. It exits 1 when a call is denied, a neighbour is allowed, or a
// permission is unused and nobody says why.
//
// It needs terraform and moto_server; TF_PLUGIN_DIR names where the provider
// lies when there is no registry. Run it with: make iam-proof.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/novaura/acs-operator/config/source"
	"github.com/novaura/acs-operator/internal/check/harness"
	"github.com/novaura/acs-operator/internal/iam"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	began := time.Now()
	err := prove(ctx, os.Stdout)
	stop()
	_, _ = fmt.Fprintf(os.Stdout, "\n%s\n", time.Since(began).Round(time.Second))
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "iam-proof:", err)
		os.Exit(1)
	}
}

func prove(ctx context.Context, out io.Writer) error {
	folder, err := os.MkdirTemp("", "iam-proof-")
	if err != nil {
		return err
	}
	policies, err := plannedPolicies(ctx, folder, out)
	if err != nil {
		return err
	}
	calls, err := recordedCalls(ctx, folder, out)
	if err != nil {
		return err
	}
	if err := report(out, policies, calls); err != nil {
		return fmt.Errorf("%w (logs: %s)", err, folder)
	}
	return os.RemoveAll(folder)
}

// rolePolicies are the policies of each principal: worker, controller and the
// execution roles.
type rolePolicies map[string]iam.Policy

// plannedPolicies plans the predecessor's tfvars with the optional variables,
// and reads the policies.
func plannedPolicies(ctx context.Context, folder string, out io.Writer) (rolePolicies, error) {
	endpoint, stop, err := harness.StartMoto(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer stop()
	terraform, err := harness.NewTerraform(ctx, folder, endpoint, io.Discard)
	if err != nil {
		return nil, err
	}
	vars, err := harness.PredecessorVars(folder)
	if err != nil {
		return nil, err
	}
	plan, err := terraform.Plan(ctx, append([]string{"-var-file=" + vars}, optionalVars()...)...)
	if err != nil {
		return nil, err
	}
	policies := rolePolicies{}
	for _, resource := range plan.PlannedValues.RootModule.Resources {
		if resource.Type != "aws_iam_role_policy" {
			continue
		}
		if resource.Values.Policy == "" {
			return nil, fmt.Errorf("the plan does not know the policy of role %s yet: build its ARNs from names", resource.Values.Role)
		}
		policy, err := iam.Parse(resource.Values.Policy)
		if err != nil {
			return nil, fmt.Errorf("role %s: %w", resource.Values.Role, err)
		}
		policies[principalOf(resource.Values.Role)] = policy
	}
	_, _ = fmt.Fprintf(out, "planned: %d resources, %d role policies\n", len(plan.ResourceChanges), len(policies))
	return policies, nil
}

// principalOf is worker for novaura-acs-worker-task, worker-execution for
// novaura-acs-worker-execution.
func principalOf(role string) string {
	return strings.TrimSuffix(strings.TrimPrefix(role, "novaura-acs-"), "-task")
}

// recordedCalls runs the programs against the sandbox behind a recorder.
func recordedCalls(ctx context.Context, folder string, out io.Writer) (map[call]int, error) {
	bin := filepath.Join(folder, "bin")
	if err := harness.BuildPrograms(ctx, bin, "./worker", "./controller", "./local"); err != nil {
		return nil, err
	}
	sandbox, stop, err := startSandbox(ctx, folder)
	if err != nil {
		return nil, err
	}
	defer stop()
	recorder, err := newRecorder(sandbox)
	if err != nil {
		return nil, err
	}
	address, stopRecorder, err := harness.Serve(ctx, recorder)
	if err != nil {
		return nil, err
	}
	defer stopRecorder()
	system := harness.System{Endpoint: address, Direct: sandbox, Folder: folder, Messages: 300}
	if err := provision(ctx, sandbox, &system); err != nil {
		return nil, err
	}
	result, err := system.Run(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(mailsSent(ctx, recorder), testReceivers(ctx, address, folder), redrive(ctx, system, address)); err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(out, "end to end: %d texts, desired count up to %d, %d dead letter, policy from %s\n", result.Texts, result.Desired, result.Dead, system.Policy)
	recorder.mu.Lock()
	defer recorder.mu.Unlock()
	return recorder.calls, errors.Join(append(recorder.errs, result.EndedErrors)...)
}

var address = regexp.MustCompile(`http://[0-9.:]+`)

// startSandbox serves the AWS endpoint alone, in a process of its own.
func startSandbox(ctx context.Context, folder string) (endpoint string, stop func(), err error) {
	log := filepath.Join(folder, "sandbox.log")
	process, err := harness.Start(ctx, log, harness.Environment("", "sandbox"), filepath.Join(folder, "bin", "local"),
		"--only", "aws", "--aws", "127.0.0.1:0", "--data", filepath.Join(folder, "data"))
	if err != nil {
		return "", nil, err
	}
	err = harness.Until(ctx, 20*time.Second, "the sandbox says its address", func() (bool, error) {
		text, err := os.ReadFile(log)
		endpoint = address.FindString(string(text))
		return endpoint != "", err
	})
	return endpoint, func() { _ = process.Stop() }, err
}

// provision makes what terraform makes, as far as the run touches it.
func provision(ctx context.Context, endpoint string, system *harness.System) error {
	config := harness.Config(endpoint, "check")
	queues, cluster := sqs.NewFromConfig(config), ecs.NewFromConfig(config)
	for _, name := range []string{harness.SMSQueue + "-dlq", harness.SMSQueue} {
		attributes := map[string]string{}
		if name == harness.SMSQueue {
			attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"25"}`, arn("sqs", name+"-dlq"))
		}
		queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		if err != nil {
			return fmt.Errorf("create queue %s: %w", name, err)
		}
		system.QueueURL = *queue.QueueUrl
	}
	if _, err := cluster.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String(harness.Cluster)}); err != nil {
		return fmt.Errorf("create the cluster: %w", err)
	}
	if err := harness.CreateService(ctx, cluster); err != nil {
		return err
	}
	return provisionSettings(ctx, config, system)
}

// provisionSettings puts the policy and the secrets where the programs look.
func provisionSettings(ctx context.Context, config aws.Config, system *harness.System) error {
	policy, err := harness.CheckPolicy(system.Folder)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(policy)
	if err != nil {
		return err
	}
	_, err = ssm.NewFromConfig(config).PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(harness.PolicyParameter), Value: aws.String(string(text)), Type: ssmtypes.ParameterTypeString,
	})
	if err != nil {
		return fmt.Errorf("put the policy: %w", err)
	}
	system.Policy = "ssm://" + harness.PolicyParameter
	if _, err := source.Open(system.Policy); err != nil {
		system.Policy = policy
		return nil
	}
	twilio, err := secretsmanager.NewFromConfig(config).CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name:         aws.String("novaura/twilio"),
		SecretString: aws.String(`{"account_sid":"AC00000000000000000000000000000001","auth_token":"standin","from_number":"+15005550006"}`),
	})
	if err != nil {
		return fmt.Errorf("create the secret: %w", err)
	}
	system.Worker = []string{"WORKER_POLICY=" + system.Policy, "TWILIO_CREDENTIALS_ARN=" + *twilio.ARN, "TWILIO_AUTH_TOKEN=", "TWILIO_ACCOUNT_SID="}
	return provisionMails(ctx, config, system)
}

// report prints the tables, and returns what is wrong.
func report(out io.Writer, policies rolePolicies, calls map[call]int) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	var errs []error
	_, _ = fmt.Fprint(table, "\nMADE\tACTION\tRESOURCE\tTIMES\tBY\n")
	made := sorted(calls)
	for _, c := range made {
		decision := policies[c.Principal].Decide(c.request())
		if !decision.Allowed {
			errs = append(errs, fmt.Errorf("%s may not %s on %s, and does", c.Principal, c.Action, c.Resource))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\n", c.Principal, c.Action, short(c.Resource), calls[c], verdict(decision))
	}
	_, _ = fmt.Fprint(table, "\nNEIGHBOUR\tACTION\tRESOURCE\t\tBY\n")
	for _, c := range neighbours() {
		decision := policies[c.Principal].Decide(c.request())
		if decision.Allowed {
			errs = append(errs, fmt.Errorf("%s may %s on %s, and must not", c.Principal, c.Action, c.Resource))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t\t%s\n", c.Principal, c.Action, short(c.Resource), verdict(decision))
	}
	_, _ = fmt.Fprint(table, "\nUNUSED\tACTION\tSTATEMENT\t\tWHO USES IT\n")
	for _, u := range unused(policies, made) {
		if u.reason == "" {
			errs = append(errs, fmt.Errorf("%s may %s (statement %s), and nothing used it", u.principal, u.action, u.sid))
			u.reason = "nobody"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t\t%s\n", u.principal, u.action, u.sid, u.reason)
	}
	_, _ = fmt.Fprintf(table, "\n%d calls made, %d neighbours, %d mistakes\n", len(calls), len(neighbours()), len(errs))
	return errors.Join(errs...)
}

func verdict(d iam.Decision) string {
	if d.Allowed {
		return "allowed: " + d.By
	}
	return "denied " + d.By
}

func short(resource string) string {
	return strings.Replace(strings.TrimPrefix(resource, "arn:aws:"), ":"+harness.Region+":"+harness.Account+":", ":", 1)
}

func sorted(calls map[call]int) []call {
	list := make([]call, 0, len(calls))
	for c := range calls {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b call) int {
		return cmp.Or(cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Resource, b.Resource))
	})
	return list
}

type unusedPermission struct{ principal, sid, action, reason string }

// unused are the actions of statements that no call needed, with who does.
func unused(policies rolePolicies, made []call) []unusedPermission {
	var list []unusedPermission
	for principal, policy := range policies {
		for _, statement := range policy.Statements {
			for _, action := range statement.Actions {
				used := slices.ContainsFunc(made, func(c call) bool {
					return c.Principal == principal && strings.EqualFold(c.Action, action) && statement.Covers(c.request())
				})
				if used {
					continue
				}
				reason := cmp.Or(onOurBehalf[principal+"/"+action], onOurBehalf[action])
				if strings.HasSuffix(principal, "-execution") {
					reason = cmp.Or(onOurBehalf["execution/"+action], reason)
				}
				list = append(list, unusedPermission{principal, statement.Sid, action, reason})
			}
		}
	}
	slices.SortFunc(list, func(a, b unusedPermission) int {
		return cmp.Or(cmp.Compare(a.principal, b.principal), cmp.Compare(a.sid, b.sid), cmp.Compare(a.action, b.action))
	})
	return list
}
