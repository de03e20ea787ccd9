package scaling

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

const goodLine = `{"time":"2026-01-05T08:00:15Z","service":{"desired":2,"running":2,"pending":0},
"queues":{"sms-events":{"visible":{"value":5000,"time":"2026-01-05T08:00:14Z"},"inFlight":12,"delayed":null,
"oldestAge":{"value":42,"time":"2026-01-05T07:59:00Z"},"sent":{"value":600,"time":"2026-01-05T07:59:00Z","period":60}}}}`

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "") }

func TestDecideLines(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want []string // what each answer holds
	}{
		"an observation gets a decision":     {oneLine(goodLine) + "\n", []string{`"desired":11`}},
		"the last line needs no line end":    {oneLine(goodLine), []string{`"policy":"worker"`}},
		"alerts are never null":              {oneLine(goodLine), []string{`"alerts":[]`}},
		"blank lines get nothing":            {"\n  \n\r\n", nil},
		"no JSON is refused, and it goes on": {"hello\n" + oneLine(goodLine) + "\n", []string{`{"error":`, `"desired":11`}},
		"a number is refused":                {"3\n", []string{`{"error":"read observation: it is 3, where an object is wanted"}`}},
		"null is refused":                    {"null\n", []string{`{"error":`}},
		"an observation without time":        {`{"service":{"desired":1}}` + "\n", []string{`{"error":"read observation: it has no time"}`}},
		"a value of the wrong type": {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"visible":"many"}}}`,
			[]string{`{"error":"read observation: queues.sms-events.visible is \"many\", where a number, or an object with value and time, is wanted"}`}},
		"a sample's value of the wrong type": {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"visible":{"value":"many"}}}}`,
			[]string{`queues.sms-events.visible.value is \"many\", where a number is wanted`}},
		"half a task":              {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2.5}}`, []string{`service.desired is 2.5, where a whole number is wanted`}},
		"a count in quotes":        {`{"time":"2026-01-05T08:00:15Z","service":{"desired":"2"}}`, []string{`service.desired is \"2\", where a whole number is wanted`}},
		"a service that is a list": {`{"time":"2026-01-05T08:00:15Z","service":[1]}`, []string{`service is a list, where an object is wanted`}},
		"queues that are a list":   {`{"time":"2026-01-05T08:00:15Z","queues":[{"visible":3}]}`, []string{`queues is a list, where an object is wanted`}},
		"a time of another form":   {`{"time":"5 Jan 2026"}`, []string{`time is \"5 Jan 2026\", where a time such as 2026-01-05T08:00:15Z is wanted`}},
		"a sample's time in seconds": {`{"time":"2026-01-05T08:00:15Z","queues":{"sms-events":{"sent":{"value":5,"time":1767600000}}}}`,
			[]string{`queues.sms-events.sent.time is 1767600000, where a time such as`}},
		"a hold of the wrong type":                {`{"time":"2026-01-05T08:00:15Z","holds":[{"rule":"paused"},{"rule":7}]}`, []string{`holds[1].rule is 7, where a string is wanted`}},
		"half a line":                             {`{"time":"2026-01-05T08:00:15Z"`, []string{`it is no JSON`}},
		"a line of two MiB is read":               {strings.Repeat(" ", 2<<20) + oneLine(goodLine) + "\n", []string{`"desired":11`}},
		"running tasks left out are unknown":      {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2}}`, []string{`"limitedBy":"unknown"`}},
		"running tasks that are null are unknown": {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2,"running":null}}`, []string{`"limitedBy":"unknown"`}},
		"a metric that is null is unknown":        {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2,"running":2},"queues":{"sms-events":{"visible":null}}}`, []string{`"limitedBy":"fallback"`}},
		"a metric whose value is null is unknown": {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2,"running":2},"queues":{"sms-events":{"visible":{"value":null,"time":"2026-01-05T08:00:10Z"},"inFlight":{"value":null}}}}`, []string{`"limitedBy":"fallback"`}},
		"a metric without a value is unknown":     {`{"time":"2026-01-05T08:00:15Z","service":{"desired":2,"running":2},"queues":{"sms-events":{"visible":{"time":"2026-01-05T08:00:10Z"},"inFlight":0}}}`, []string{`"limitedBy":"fallback"`}},
		"a service without its desired count":     {`{"time":"2026-01-05T08:00:15Z","service":{"running":2},"queues":{"sms-events":{"visible":5,"inFlight":0}}}`, []string{`"limitedBy":"unknown"`}},
		"a desired count that is null is unknown": {`{"time":"2026-01-05T08:00:15Z","service":{"desired":null,"running":2},"queues":{"sms-events":{"visible":5,"inFlight":0}}}`, []string{`"limitedBy":"unknown"`}},
		"an observation of nothing is an unknown": {`{"time":"2026-01-05T08:00:15Z"}`, []string{`"limitedBy":"unknown"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if _, err := DecideLines(policy(), State{}, strings.NewReader(tc.in), &out); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			if tc.want == nil {
				lines = strings.Fields(out.String())
			}
			if len(lines) != len(tc.want) {
				t.Fatalf("%d answers, want %d: %s", len(lines), len(tc.want), out.String())
			}
			for i, want := range tc.want {
				if !strings.Contains(lines[i], want) || !json.Valid([]byte(lines[i])) {
					t.Errorf("answer %s, want %s in it", lines[i], want)
				}
			}
		})
	}
}

func TestDecideLinesAnswersEachLineBeforeTheNext(t *testing.T) {
	in, write := io.Pipe()
	read, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := DecideLines(policy(), State{}, in, out)
		done <- errors.Join(err, out.Close())
	}()
	answers := bufio.NewScanner(read)
	for range 3 {
		if _, err := io.WriteString(write, oneLine(goodLine)+"\n"); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() {
			t.Fatal("no answer")
		}
	}
	write.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestDecideLinesReturnsTheErrorOfItsStreams(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader(oneLine(goodLine)+"\n"), failing{broken})
	if _, err := DecideLines(policy(), State{}, in, io.Discard); !errors.Is(err, broken) {
		t.Errorf("reading: %v", err)
	}
	if _, err := DecideLines(policy(), State{}, strings.NewReader(oneLine(goodLine)), failing{broken}); !errors.Is(err, broken) {
		t.Errorf("writing: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestStateOfAnotherVersionIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"a newer version": `{"version":99,"time":5}`,
		"no version":      `{"time":5}`,
		"no object":       `[]`,
		"a wrong type":    `{"version":1,"queues":{"a":7}}`,
		"half of a state": `{"version":1,`,
	} {
		t.Run(name, func(t *testing.T) {
			var s State
			if err := json.Unmarshal([]byte(text), &s); err == nil {
				t.Error("no error")
			}
		})
	}
	var zero State
	text, _ := json.Marshal(zero)
	if err := json.Unmarshal(text, &zero); err != nil {
		t.Errorf("the zero state: %v", err)
	}
}

func FuzzDecideLines(f *testing.F) {
	f.Add(oneLine(goodLine))
	f.Add(oneLine(goodLine) + "\n" + oneLine(goodLine))
	f.Add(`{"time":"9999-12-31T23:59:59Z","service":{"desired":-1},"queues":{"sms-events":{"visible":1e308,"sent":{"value":1,"period":-3}}}}`)
	f.Add("\x00\n[]\n{}")
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		state, err := DecideLines(policy(), State{}, strings.NewReader(in), &out)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("no JSON: %s", line)
			}
		}
		if _, err := json.Marshal(state); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzState feeds decisions a state that somebody wrote by hand.
func FuzzState(f *testing.F) {
	f.Add(`{"version":1,"time":1767600000000,"wanted":3,"tasks":{"running":[{"at":1,"n":-4}],"lags":[1e300]},"queues":{"sms-events":{"arrival":{"at":1,"rate":1e308,"variance":1e308}}}}`)
	f.Fuzz(func(_ *testing.T, text string) {
		var state State
		if json.Unmarshal([]byte(text), &state) != nil {
			return
		}
		for i, obs := range []Observation{seen(3, 400, 600), seen(3, 0, 0), seen(5, 9000, 60)} {
			_, state = Decide(policy(), obs, state, monday.AddDate(0, 0, i))
		}
	})
}
