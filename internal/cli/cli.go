// Package cli is what the three mains share: a grammar becomes an exit code,
// a logger, and the ways of printing a result.
//
// It imports kong, slog handlers and the version, and nothing of the business.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/novaura/acs-operator/internal/version"
)

// The exit codes of every command.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2 // wrong usage, or input that is not valid
)

// A UsageError is a mistake of whoever called: its command exits with
// ExitUsage.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef is a UsageError in fmt's words.
func Usagef(format string, args ...any) error {
	return &UsageError{Err: fmt.Errorf(format, args...)}
}

// Streams are a command's standard streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs a program with the process' arguments and streams, and exits with
// its code. SIGINT and SIGTERM end its context.
func Main(run func(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type exit int

// everywhere are the flags that every command has beside --help.
type everywhere struct {
	Version kong.VersionFlag `help:"Show the version."`
}

// Run parses args by grammar (a pointer to a kong struct whose commands have
// a method Run(context.Context, Streams) error) and runs the chosen command.
// It returns the exit code, having printed any error to streams.Err.
func Run(ctx context.Context, name, description string, grammar any, args []string, streams Streams) (code int) {
	defer func() {
		switch stop := recover().(type) {
		case nil:
		case exit:
			code = int(stop)
		default:
			panic(stop)
		}
	}()
	parser, err := kong.New(grammar, kong.Name(name), kong.Description(description),
		kong.Writers(streams.Out, streams.Err), kong.UsageOnError(),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Embed(&everywhere{}), kong.Vars{"version": name + " " + version.String()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams))
	if err != nil {
		_, _ = fmt.Fprintf(streams.Err, "%s: %v\n", name, err)
		return ExitUsage
	}
	if len(args) == 0 && len(parser.Model.Children) > 0 {
		args = []string{"--help"}
	}
	unsetEmpty(parser.Model.Node)
	parsed, err := parser.Parse(args)
	if err != nil {
		_, _ = fmt.Fprintf(streams.Err, "%s: %v (see %s --help)\n", name, err, commandOf(name, err))
		return ExitUsage
	}
	if err := parsed.Run(); err != nil {
		_, _ = fmt.Fprintf(streams.Err, "%s: %v\n", name, err)
		return codeOf(err)
	}
	return ExitDone
}

// commandOf is the command whose usage was wrong, as far as it was understood.
func commandOf(name string, err error) string {
	if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) && wrong.Context.Selected() != nil {
		return wrong.Context.Selected().FullPath()
	}
	return name
}

// unsetEmpty makes an empty variable one that is not set, so that its flag
// keeps its default: task definitions often set variables to nothing.
func unsetEmpty(node *kong.Node) {
	for _, flag := range node.Flags {
		for _, name := range flag.Envs {
			if value, set := os.LookupEnv(name); set && value == "" {
				_ = os.Unsetenv(name)
			}
		}
	}
	for _, child := range node.Children {
		unsetEmpty(child)
	}
}

func codeOf(err error) int {
	if usage := (*UsageError)(nil); errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitFailed
}
