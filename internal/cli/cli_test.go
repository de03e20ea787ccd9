package cli

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

type testGrammar struct {
	Do testCommand `cmd:"" help:"Do it."`
}

type testCommand struct {
	Output

	Size int    `env:"CLI_TEST_SIZE" default:"3"`
	Fail string `enum:",plain,usage" default:""`
}

func (c testCommand) Run(_ context.Context, streams Streams) error {
	switch c.Fail {
	case "plain":
		return errors.New("it broke")
	case "usage":
		return Usagef("set %s", "SIZE")
	}
	return c.Print(streams.Out, map[string]int{"size": c.Size}, []string{"SIZE"}, [][]string{{"three"}})
}

func call(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := Run(t.Context(), "test", "A test.", &testGrammar{}, args, Streams{In: strings.NewReader(""), Out: &out, Err: &errOut})
	return code, out.String(), errOut.String()
}

func TestExitCodesTellFailureFromMisuse(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want int
	}{
		"done":                       {[]string{"do"}, ExitDone},
		"help":                       {[]string{"--help"}, ExitDone},
		"no verb is a wish for help": {nil, ExitDone},
		"failed":                     {[]string{"do", "--fail", "plain"}, ExitFailed},
		"a setting is wrong":         {[]string{"do", "--fail", "usage"}, ExitUsage},
		"a flag that is none":        {[]string{"do", "--fly"}, ExitUsage},
		"a word for a number":        {[]string{"do", "--size", "big"}, ExitUsage},
		"a verb that is none":        {[]string{"fly"}, ExitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, errOut := call(t, tc.args...); code != tc.want {
				t.Errorf("exit code %d, want %d: %s", code, tc.want, errOut)
			}
		})
	}
}

func TestAMistakeNamesTheHelpOfItsCommandAndEveryProgramItsVersion(t *testing.T) {
	if _, _, errOut := call(t, "do", "--fly"); !strings.Contains(errOut, "(see test do --help)") {
		t.Errorf("got %s", errOut)
	}
	if code, out, _ := call(t, "--version"); code != ExitDone || !strings.HasPrefix(out, "test ") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestNoColorMeansNoColour(t *testing.T) {
	for name, tc := range map[string]struct {
		noColor, term string
		want          bool
	}{
		"a terminal":         {"", "xterm", false},
		"a wish for none":    {"1", "xterm", true},
		"a terminal of none": {"", "dumb", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tc.noColor)
			t.Setenv("TERM", tc.term)
			if got := colourless(); got != tc.want {
				t.Errorf("colourless is %t, want %t", got, tc.want)
			}
		})
	}
}

func TestAnEmptyVariableIsOneThatIsNotSet(t *testing.T) {
	t.Setenv("CLI_TEST_SIZE", "")
	if code, out, errOut := call(t, "do", "-o", "json"); code != ExitDone || !strings.Contains(out, `"size": 3`) {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
}

func TestAResultIsPrintedForPeopleAndForPrograms(t *testing.T) {
	for form, want := range map[string]string{"table": "SIZE\nthree\n", "json": "{\n  \"size\": 3\n}\n", "yaml": "size: 3\n"} {
		if _, out, _ := call(t, "do", "-o", form); out != want {
			t.Errorf("%s: %q, want %q", form, out, want)
		}
	}
}

func TestAlarmPhrasesPassWhateverTheLevel(t *testing.T) {
	t.Setenv("LOG_LEVEL", "error")
	var out bytes.Buffer
	logger := NewLogger(&out).With("queue", "q")
	logger.Info("Successfully processed")
	logger.Info("Processed 3, Failed 1, Deleted 3")
	logger.Info("something else")
	logger.Warn("Error processing")
	logger.Log(t.Context(), slog.LevelError, "broken")
	for phrase, want := range map[string]bool{
		`"msg":"Successfully processed"`: true, `"msg":"Processed 3, Failed 1, Deleted 3"`: true, `"msg":"Error processing"`: true,
		`"msg":"broken"`: true, "something else": false,
	} {
		if got := strings.Contains(out.String(), phrase); got != want {
			t.Errorf("%s is logged: %t, want %t\n%s", phrase, got, want, out.String())
		}
	}
}
