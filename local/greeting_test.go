package main

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/novaura/acs-operator/config"
)

func TestTheEnvironmentCanBeSourcedWhateverItsValuesHold(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	key := "-----BEGIN KEY-----\n\"it's\" $HOME `x`\n-----END KEY-----\n"
	file, err := writeEnvironment(&options{Data: data, Policy: "config,s3://b/k"}, &standIns{endpoint: "http://127.0.0.1:1"}, "/opt/acs bin", map[string]string{"APNS_KEY": key})
	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$0"; printf '%s|%s|%s|%s' "$APNS_KEY" "$AWS_ENDPOINT_URL" "$CONTROLLER_POLICY" "${PATH%%:*}"`, file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	here, err := filepath.Abs("config")
	if err != nil {
		t.Fatal(err)
	}
	if want := key + "|http://127.0.0.1:1|" + here + ",s3://b/k|/opt/acs bin"; string(output) != want {
		t.Errorf("got %s, want %s", output, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, want that nobody else reads it", info.Mode())
	}
}

func TestInAFolderWithoutPoliciesTheShippedOnesAreUsed(t *testing.T) {
	t.Chdir(t.TempDir())
	o := &options{Data: filepath.Join(t.TempDir(), "data"), Policy: defaultPolicy}
	var out strings.Builder
	if err := findPolicies(o, &out); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(o.Data, "policies")
	if o.Policy != folder || !strings.Contains(out.String(), "There is no config/scaling-policy.yaml here: using the shipped policies in "+folder) {
		t.Errorf("the policy is %s, said %q", o.Policy, &out)
	}
	edited := filepath.Join(folder, "scaling-policy.yaml")
	if err := os.WriteFile(edited, []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := findPolicies(&options{Data: o.Data, Policy: defaultPolicy}, &out); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(edited); err != nil || string(text) != "edited" {
		t.Errorf("an edit was overwritten: %s, %v", text, err)
	}
}

func TestTheShippedPoliciesAreValid(t *testing.T) {
	t.Parallel()
	policies, err := config.Parse(config.Shipped()...)
	if err != nil || len(policies.Scaling) == 0 || len(policies.Alert) == 0 {
		t.Errorf("got %d scaling and %d alert policies, %v", len(policies.Scaling), len(policies.Alert), err)
	}
}

func TestAPolicyThatIsNamedButNotThereIsAMistake(t *testing.T) {
	t.Parallel()
	err := findPolicies(&options{Data: t.TempDir(), Policy: "s3://bucket/key,nowhere/policy.yaml"}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "there is no file or folder nowhere/policy.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestDeliveryReportsCountAmongTheArrivals(t *testing.T) {
	t.Parallel()
	for channels, want := range map[string]float64{"sms,email,push": 3.3, "sms": 4, "push": 1, "email": 2} {
		if got := arrivalsPerMessage(strings.Split(channels, ",")); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: got %g arrivals for one message, want %g", channels, got, want)
		}
	}
}
