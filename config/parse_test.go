package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/novaura/acs-operator/config"
)

var update = flag.Bool("update", false, "write what the code generates: the schemas and the .want files")

func read(t testing.TB, name string) config.File {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return config.File{Name: filepath.Base(name), Data: data}
}

func parse(t *testing.T, text string) *config.Policies {
	t.Helper()
	policies, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

func TestTheExampleAndTheShippedPolicyParse(t *testing.T) {
	t.Parallel()
	all, err := config.Parse(read(t, "example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := []int{len(all.Scaling), len(all.Alert), len(all.Delivery)}; !cmp.Equal(got, []int{1, 1, 1}) {
		t.Errorf("got %v policies of each kind, want one", got)
	}
	shipped, err := config.Parse(read(t, "scaling-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got := shipped.Scaling[0].Spec.Queues[0].Name; got != "novaura-acs-sms-events" {
		t.Errorf("got queue %q", got)
	}
}

// Each file of testdata has one mistake, but for ten-mistakes.yaml; its .want
// has the messages.
func TestEachMistakeIsSaidAtItsPlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("found %d files: %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse(read(t, name))
			if err == nil {
				t.Fatal("there is no error")
			}
			got, wantFile := err.Error()+"\n", strings.TrimSuffix(name, ".yaml")+".want"
			if *update {
				if err := os.WriteFile(wantFile, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want := string(read(t, wantFile).Data)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("messages differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTenMistakesAreTenErrorsInOneRun(t *testing.T) {
	t.Parallel()
	policies, err := config.Parse(read(t, "testdata/ten-mistakes.yaml"))
	if got := len(config.FieldErrors(err)); got != 10 || policies != nil {
		t.Errorf("got %d errors and policies %v, want 10 and none:\n%v", got, policies, err)
	}
}

const small = `apiVersion: acs.novaura.io/v1
kind: ScalingPolicy
metadata: {name: worker}
spec:
  target: {cluster: c, service: s}
  queues: [{name: q}]
`

func TestANameIsAsLongAsItsServiceAllows(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:ecs:us-east-1:123456789012:cluster/"
	for name, tc := range map[string]struct {
		field   string // of small, up to the name
		before  string
		longest int
	}{
		"a policy":            {"name: worker", "name: ", 253},
		"a cluster":           {"cluster: c", "cluster: ", 255},
		"a cluster in an ARN": {"cluster: c", "cluster: " + role, 255},
		"a service":           {"service: s", "service: ", 255},
		"a queue":             {"name: q", "name: ", 80},
	} {
		for _, length := range []int{tc.longest, tc.longest + 1} {
			text := strings.Replace(small, tc.field, tc.before+strings.Repeat("x", length), 1)
			_, err := config.Parse(config.File{Name: "p.yaml", Data: []byte(text)})
			if fits := length == tc.longest; fits != (err == nil) {
				t.Errorf("%s, %d characters: %v", name, length, err)
			}
		}
	}
}

func TestAbsentFieldsGetDefaults(t *testing.T) {
	t.Parallel()
	got := parse(t, small).Scaling[0].Spec
	want := config.ScalingSpec{
		Target: config.ServiceRef{Cluster: "c", Service: "s"}, Interval: 15 * time.Second, MinTasks: 1, MaxTasks: 10,
		Queues:  []config.QueueSpec{{Name: "q", MaxAge: time.Minute}},
		Metrics: config.MetricsSpec{Source: config.SourceHybrid},
		Behavior: config.Behavior{
			ScaleUp: config.ScalingRules{SelectPolicy: config.SelectMax, Policies: []config.RatePolicy{
				{Type: config.PercentPolicy, Value: 900, Period: 15 * time.Second}, {Type: config.TasksPolicy, Value: 100, Period: 15 * time.Second},
			}},
			ScaleDown: config.ScalingRules{SelectPolicy: config.SelectMax, Policies: []config.RatePolicy{
				{Type: config.PercentPolicy, Value: 100, Period: 15 * time.Second},
			}},
		},
		Fallback: config.Fallback{After: 5 * time.Minute, Behavior: config.FallbackCurrentIfHigher, Tasks: 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults differ (-want +got):\n%s", diff)
	}
}

func TestAStatedZeroIsHonoured(t *testing.T) {
	t.Parallel()
	spec := parse(t, small+`  minTasks: 0
  behavior:
    scaleUp: {tolerance: 0}
    scaleDown: {stabilizationWindow: 0s, tolerance: 0.0}
  fallback: {tasks: 0}
`).Scaling[0].Spec
	down := spec.Behavior.ScaleDown
	if spec.MinTasks != 0 || spec.Fallback.Tasks != 0 || spec.Behavior.ScaleUp.Tolerance != 0 || down.StabilizationWindow != 0 || down.Tolerance != 0 {
		t.Errorf("a stated 0 became a default: %+v", spec)
	}
	if len(down.Policies) != 1 || len(spec.Behavior.ScaleUp.Policies) != 2 {
		t.Errorf("policies that are absent lost their default: %+v", spec.Behavior)
	}
}

func TestAQueueIsNamedByTheEndOfItsURL(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "{name: q}", "{url: 'http://127.0.0.1:4566/000000000000/orders'}", 1)
	if got := parse(t, text).Scaling[0].Spec.Queues[0].Name; got != "orders" {
		t.Errorf("got name %q, want orders", got)
	}
}

func TestMaxThroughputDefaultsToTheChannelsRateLimit(t *testing.T) {
	t.Parallel()
	text := strings.Replace(small, "[{name: q}]", "[{name: a, channel: sms}, {name: b, channel: sms, maxThroughput: 7}, {name: c}]", 1)
	policies := parse(t, text+`---
apiVersion: acs.novaura.io/v1
kind: DeliveryPolicy
metadata: {name: delivery}
spec: {channels: {sms: {rateLimit: 100}}}
`)
	for i, want := range []float64{100, 7, 0} {
		if got := policies.Scaling[0].Spec.Queues[i].MaxThroughput; got != want {
			t.Errorf("queue %d: got %v messages/s, want %v", i, got, want)
		}
	}
}

func TestWhatMayStandOnceIsFoundAcrossFiles(t *testing.T) {
	t.Parallel()
	again := strings.Replace(small, "service: s", "service: 'arn:aws:ecs:us-east-1:123456789012:service/c/s'", 1)
	_, err := config.Parse(config.File{Name: "b.yaml", Data: []byte(again)}, config.File{Name: "a.yaml", Data: []byte(small)})
	want := `a.yaml:3:18: metadata.name: "worker" is the name of another ScalingPolicy too, at b.yaml:3:18; rename it
a.yaml:5:33: spec.target.service: "s" is steered by another ScalingPolicy too, at b.yaml:5:33; one policy may have several queues`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

const bombRule = `apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  receivers: [{name: ops, webhook: {url: "https://example.com"}}]
  rules: [{alert: A, expr: "true", receivers: [ops], message: "{{ range 1000000 }}{{ range 1000000 }}{{ end }}{{ end }}"}]
`

// labels returns n labels.
func labels(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("l%d: x", i)
	}
	return strings.Join(all, ", ")
}

func TestHugeAndHostileFilesAreRefusedQuickly(t *testing.T) {
	t.Parallel()
	laughs := "a: &a [x, x]\n"
	for c := 'b'; c < 'z'; c++ {
		laughs += string(c) + ": &" + string(c) + " [*" + string(c-1) + ", *" + string(c-1) + "]\n"
	}
	for name, tc := range map[string]struct{ text, want string }{
		"more than 1 MiB":       {strings.Repeat("#", config.MaxFileSize+1), "more than 1048576"},
		"a billion laughs":      {small + laughs, "unknown field"},
		"a hundred thousand":    {strings.Replace(small, "[{name: q}]", "["+strings.Repeat("1,", 100_000)+"]", 1), "has 100000 items, and may have 1000"},
		"a thousand mistakes":   {strings.Replace(small, "[{name: q}]", "["+strings.Repeat("1,", 1000)+"]", 1), "more mistakes from here on"},
		"lists within a list":   {small + "  x: " + strings.Repeat("[[],", 100_000), "YAML"},
		"keys of keys":          {strings.Repeat("? ", 200_000), "YAML"},
		"lists of one line":     {small + "  x:\n    " + strings.Repeat("- ", 200_000) + "1\n", "YAML"},
		"anchors without end":   {strings.Repeat("&a ", 300_000), "YAML"},
		"a text of a megabyte":  {strings.Replace(small, "name: worker", "name: "+strings.Repeat("x", 1_000_000), 1), "has 1000000 characters, and may have 2000"},
		"a thousand labels":     {strings.Replace(small, "name: worker", "name: worker, labels: {"+labels(1000)+"}", 1), "has 1000 items, and may have 100"},
		"a thousand policies":   {strings.Repeat(small+"---\n", 1000), "more than 500 policies"},
		"a cron of a megabyte":  {small + "  schedules: [{name: x, duration: 1h, minTasks: 1, cron: '" + strings.Repeat("1,", 900) + "1 * * * *'}]", "may have 200"},
		"a rule that is a bomb": {bombRule, `"range" is not allowed in a message`},
		"deep nesting":          {strings.Repeat("[", 100_000), "YAML"},
		"what is not text":      {"kind: \xff\xfe", "policy.yaml:1:7: the file is not UTF-8 text"},
		"nothing":               {"", "policy.yaml:1:1: the file holds no policy"},
		"nothing but a comment": {"# later\n---\n", "policy.yaml:1:1: the file holds no policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(tc.text)})
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %.300v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestASecretIsNeverInAnError(t *testing.T) {
	t.Parallel()
	_, err := config.Parse(config.File{Name: "policy.yaml", Data: []byte(`apiVersion: acs.novaura.io/v1
kind: AlertPolicy
metadata: {name: alerts}
spec:
  receivers:
    - {name: a, sms: {to: ["415-555-0100-7"]}}
    - {name: b, slack: {webhookURL: [hooks-secret]}}
    - {name: c, slack: https-hooks-secret}
    - {name: d, slack: {webhookURL: "https://hooks-secret", sms: 1}}
  rules: [{alert: A, expr: "true", receivers: [a]}]
`)})
	if err == nil || strings.Contains(err.Error(), "hooks-secret") || strings.Contains(err.Error(), "0100-7") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse holds that nothing makes Parse panic, and that every error has a
// place within its file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range append(files, "example.yaml") {
		f.Add(read(f, name).Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		policies, err := config.Parse(config.File{Name: "policy.yaml", Data: data})
		if (policies == nil) == (err == nil) {
			t.Fatalf("got policies %v and error %v, want one of them", policies, err)
		}
		// YAML counts each of these as the end of a line.
		lines := strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(data))
		count := strings.Count(lines, "\n") + 1
		for _, one := range config.FieldErrors(err) {
			if one.Line < 1 || one.Line > count || one.Column < 1 || one.Column > len(data)+2 || one.Problem == "" {
				t.Errorf("%v is not within %d lines", one, count)
			}
		}
	})
}
