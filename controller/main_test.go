package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/reconcile"
)

// controller calls the controller as a shell would.
func controller(t *testing.T, in string, args ...string) (code int, out, errOut string) {
	t.Helper()
	for _, name := range []string{"CONTROLLER_POLICY", "DATABASE_URL", "AWS_REGION"} {
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(in), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

const shipped = "../config/scaling-policy.yaml"

func TestTheShippedPolicyIsValid(t *testing.T) {
	code, out, errOut := controller(t, "", "validate", shipped)
	if code != 0 || !strings.Contains(out, "communication-worker is valid") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

func TestEveryKindOfPolicyIsSaidToBeValid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "all.yaml")
	const delivery = "---\napiVersion: acs.novaura.io/v1\nkind: DeliveryPolicy\nmetadata: {name: quiet}\nspec: {retention: 720h}\n"
	if err := os.WriteFile(file, []byte(minimalPolicy+delivery), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := controller(t, "", "validate", file, "../config/alert-policy.yaml")
	for _, want := range []string{"ScalingPolicy worker is valid", "AlertPolicy communication-alerts is valid", "DeliveryPolicy quiet is valid: addresses are kept for 720h0m0s"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q in %s%s", code, want, out, errOut)
		}
	}
}

func TestASourceThatAWSDoesNotGiveIsNoMistakeInThePolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		body   string
		code   int
		want   string
	}{
		"access denied": {403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>", 1, "allow s3:GetObject"},
		"slow down":     {503, "<Error><Code>SlowDown</Code><Message>Reduce</Message></Error>", 1, "the program tries again"},
		"half a policy": {200, "apiVersion: acs.no", 2, "the policy is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			bucket := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			t.Cleanup(bucket.Close)
			for name, value := range map[string]string{
				"AWS_ENDPOINT_URL": bucket.URL, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_MAX_ATTEMPTS": "1",
			} {
				t.Setenv(name, value)
			}
			for _, args := range [][]string{
				{"validate", "s3://bucket/policy.yaml"},
				{"run", "--policy", "s3://bucket/policy.yaml", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--database-url", "sqlite:" + filepath.Join(t.TempDir(), "acs.db")},
			} {
				code, out, errOut := controller(t, "", args...)
				if code != tc.code || !strings.Contains(errOut, tc.want) || out != "" || strings.Contains(errOut, "SDK ") {
					t.Errorf("%s: exit code %d: %s%s, want %d and %q", args[0], code, out, errOut, tc.code, tc.want)
				}
			}
		})
	}
}

func TestTenMistakesAreTenErrorsInOneRun(t *testing.T) {
	code, _, errOut := controller(t, "", "validate", "../config/testdata/ten-mistakes.yaml")
	if code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if got := strings.Count(errOut, "ten-mistakes.yaml:"); got != 10 {
		t.Errorf("%d errors with a position, want 10:\n%s", got, errOut)
	}
}

func TestAFileThatIsNotThereIsWrongUsage(t *testing.T) {
	code, _, errOut := controller(t, "", "validate", "none.yaml")
	if code != 2 || !strings.Contains(errOut, "none.yaml") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

const dump = `{"time":"2026-01-05T08:00:15Z","service":{"desired":1,"running":1,"pending":0},"queues":{"novaura-acs-sms-events":{"visible":{"value":5000,"time":"2026-01-05T08:00:15Z"},"inFlight":{"value":10,"time":"2026-01-05T08:00:15Z"},"delayed":{"value":0,"time":"2026-01-05T08:00:15Z"}}}}`

func TestDecideAnswersEachLineWithALine(t *testing.T) {
	code, out, errOut := controller(t, dump+"\nnot json\n"+dump+"\n", "decide", "--policy", shipped)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 3 {
		t.Fatalf("exit code %d, %d lines: %s%s", code, len(lines), out, errOut)
	}
	var first struct {
		Policy, Reason string
		Desired        int
		Alerts         []any
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Policy != "communication-worker" || first.Desired <= 1 || first.Reason == "" || first.Alerts == nil {
		t.Errorf("decision %s", lines[0])
	}
	if !strings.HasPrefix(lines[1], `{"error":`) {
		t.Errorf("what is no observation got %s", lines[1])
	}
}

func TestDecideKeepsItsStateInAFile(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state.json")
	if code, _, errOut := controller(t, dump, "decide", "--policy", shipped, "--state", state); code != 0 {
		t.Fatal(errOut)
	}
	saved, err := os.ReadFile(state)
	if err != nil || !json.Valid(saved) {
		t.Fatalf("%s: %v", saved, err)
	}
	if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := controller(t, dump, "decide", "--policy", shipped, "--state", state); code != 2 || !strings.Contains(errOut, "not a saved state") {
		t.Errorf("a broken state: exit code %d: %s", code, errOut)
	}
}

func TestRunNamesTheSettingThatIsMissing(t *testing.T) {
	code, _, errOut := controller(t, "", "run", "--policy", shipped, "--listen", "127.0.0.1:0")
	if code != 2 || !strings.Contains(errOut, "DATABASE_URL is not set") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

const minimalPolicy = `apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: c, service: s}
  queues: [{name: q, maxAge: 60s}]
`

func TestSimulateAndRecommend(t *testing.T) {
	dir := t.TempDir()
	file, trace, page := filepath.Join(dir, "p.yaml"), filepath.Join(dir, "t.csv"), filepath.Join(dir, "r.html")
	if err := errors.Join(os.WriteFile(file, []byte(minimalPolicy), 0o600), os.WriteFile(trace, []byte("0,60000\n600,90000\n1200,60000\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	recommend := []string{"recommend", "--policy", file, "--size", "1024/2048", "--cpu-max", "30", "--memory-max", "22", "--per-task", "8"}
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a trace is played against everyone":             {[]string{"simulate", "--policy", file, "--trace", trace, "--report", page}, 0, "clairvoyant"},
		"a field may be changed first":                   {[]string{"simulate", "--policy", file, "--trace", trace, "--alone", "--what-if", "maxTasks=3", "-o", "json"}, 0, `"peak": 3`},
		"a field may be one that the file does not have": {[]string{"simulate", "--policy", file, "--trace", trace, "--alone", "--what-if", "behavior.scaleDown.stabilizationWindow=5m"}, 0, "this controller"},
		"an item of a list may be changed":               {[]string{"simulate", "--policy", file, "--trace", trace, "--alone", "--what-if", "queues[0].maxAge=5m"}, 0, "this controller"},
		"what comes of a change is checked":              {[]string{"simulate", "--policy", file, "--trace", trace, "--what-if", "maxTasks=0"}, 2, "maxTasks"},
		"a field that is none is refused":                {[]string{"simulate", "--policy", file, "--trace", trace, "--what-if", "maxTask=9"}, 2, "maxTasks"},
		"a workload that is none is refused":             {[]string{"simulate", "--policy", file, "--workload", "none"}, 2, "--workload list"},
		"workloads are listed":                           {[]string{"simulate", "--policy", file, "--workload", "list"}, 0, "hourly-dumps"},
		"a span that is none is refused":                 {[]string{"simulate", "--policy", file, "--trace", trace, "--start-lag", "90s-45s"}, 2, "write 45s-90s"},
		"a size and a price are advised":                 {recommend, 0, "0.5 vCPU, 1 GB"},
		"a region without prices asks for them":          {append(recommend, "--region", "mars-1"), 2, "--vcpu-hour"},
		"a size that is none is refused":                 {[]string{"recommend", "--policy", file, "--size", "1024/1"}, 2, "none that Fargate has"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := controller(t, "", tc.args...)
			if code != tc.code || !strings.Contains(out+errOut, tc.want) {
				t.Errorf("exit code %d, want %d and %q in\n%s%s", code, tc.code, tc.want, out, errOut)
			}
		})
	}
	if text, err := os.ReadFile(page); err != nil || !bytes.Contains(text, []byte("uPlot")) {
		t.Errorf("the report: %d bytes, %v", len(text), err)
	}
}

func TestAWrongCallSaysWhatToDoAndMakesNoDatabase(t *testing.T) {
	typo := filepath.Join(t.TempDir(), "typo.db")
	database := "--database-url=sqlite:" + typo
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"get of a database that is not there":     {[]string{"get", database}, "no database at " + typo},
		"alerts of one, without any policy":       {[]string{"alerts", database}, "no database at " + typo},
		"silences of one":                         {[]string{"silence", "list", database}, "no database at " + typo},
		"a pause in one":                          {[]string{"pause", "--reason", "x", database}, "no database at " + typo},
		"a flag that is none names its command":   {[]string{"history", "--fly"}, "see controller history --help"},
		"a history of the future":                 {[]string{"history", "--since=-1h", database}, "say how far back"},
		"policies that are not where they may be": {[]string{"plan", "--policy", "none.yaml"}, "name the policies with --policy or CONTROLLER_POLICY"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, errOut := controller(t, "", tc.args...); code != 2 || !strings.Contains(errOut, tc.want) {
				t.Errorf("exit code %d, want 2 and %q: %s", code, tc.want, errOut)
			}
		})
	}
	if _, err := os.Stat(typo); err == nil {
		t.Error("a database was made")
	}
}

func TestAPolicyThatNobodyLooksAfterIsNotOK(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		seen  time.Duration // ago
		leads bool
		want  string
	}{
		"its leader wrote lately":                       {30 * time.Second, true, "OK"},
		"its leader has written nothing for long":       {2 * time.Minute, true, "NotLeading"},
		"the lease lapsed although the status is young": {10 * time.Second, false, "NotLeading"},
	} {
		one := known{Name: "worker", Status: reconcile.Status{Interval: 15 * time.Second, Health: reconcile.Health{Status: "OK"}}, Seen: now.Add(-tc.seen)}
		got := healthNow(one, tc.leads, now)
		if got.Status != tc.want || got.OK() != (tc.want == "OK") {
			t.Errorf("%s: %+v, want %q", name, got, tc.want)
		}
	}
}
