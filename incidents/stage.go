package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/check/harness"
	"github.com/novaura/acs-operator/internal/store"
	"github.com/novaura/acs-operator/internal/store/open"
)

// programs are the shipped ones, built once.
type programs struct{ local, controller, worker string }

func buildPrograms(ctx context.Context, folder string) (programs, error) {
	err := harness.BuildPrograms(ctx, folder, "./local", "./controller", "./worker")
	return programs{filepath.Join(folder, "local"), filepath.Join(folder, "controller"), filepath.Join(folder, "worker")}, err
}

// Stage is one system, on ports and in a folder of its own, and what is
// recorded of it.
type Stage struct {
	recorder

	programs programs
	setup    Setup
	folder   string
	endpoint string // of AWS and the providers
	database string // what the programs use
	direct   string // what the harness uses
	postgres *postgres
	local    *harness.Process
	others   []*harness.Process // that a cause started
	stops    []func()
	hunt     func() // ends what a cause has going on; nil: nothing

	sqs *sqs.Client
	ecs *ecs.Client

	shared  sync.Mutex
	opened  store.Store     // nil: not needed yet
	deleted map[string]bool // names of queues that a cause deleted
}

// queueNames are those that local makes.
var queueNames = []string{harness.SMSQueue, "novaura-acs-email-events", "novaura-acs-push-events"}

// startStage starts a system. The caller closes it, also after an error.
func startStage(ctx context.Context, programs programs, setup Setup, folder string) (*Stage, error) {
	s := &Stage{programs: programs, setup: setup.withUsual(), folder: folder, deleted: map[string]bool{}}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return s, err
	}
	hook, stop, err := harness.Serve(ctx, http.HandlerFunc(s.receive))
	if err != nil {
		return s, err
	}
	s.stops = append(s.stops, stop)
	if err := s.writePolicies(hook); err != nil {
		return s, err
	}
	if err := s.chooseDatabase(ctx); err != nil {
		return s, err
	}
	return s, s.startLocal(ctx)
}

func (s *Stage) chooseDatabase(ctx context.Context) (err error) {
	s.database = "sqlite:" + filepath.Join(s.folder, "data", "acs.db")
	s.direct = s.database
	if s.setup.Postgres {
		if s.postgres, err = startPostgres(ctx); err != nil {
			return fmt.Errorf("start PostgreSQL: %w", err)
		}
		s.database, s.direct = s.postgres.url(), s.postgres.direct
	}
	return nil
}

var saysEndpoint = regexp.MustCompile(`AWS_ENDPOINT_URL=['"]?(http://[^\s'"]+)`)

// startLocal runs local, and waits until it has sent a message.
func (s *Stage) startLocal(ctx context.Context) error {
	port, err := harness.FreePort(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"--listen", "127.0.0.1:" + port, "--aws", "127.0.0.1:0", "--data", filepath.Join(s.folder, "data"),
		"--policy", s.scalingPolicy() + "," + s.alertPolicy(), "--load", "steady", "--rate", strconv.FormatFloat(s.setup.Rate, 'f', -1, 64),
		"--channels", s.setup.Channels, "--start-lag", s.setup.StartLag.String(), "--metrics-delay", "5s",
	}
	if s.postgres != nil {
		args = append(args, "--database", s.database)
	}
	if s.local, err = harness.Start(context.WithoutCancel(ctx), s.localLog(), s.environment(), s.programs.local, args...); err != nil {
		return err
	}
	err = harness.Until(ctx, 90*time.Second, "local sends its first message (its output: "+s.localLog()+")", func() (bool, error) {
		env, _ := os.ReadFile(filepath.Join(s.folder, "data", "env")) // not there yet: asked again
		if found := saysEndpoint.FindSubmatch(env); found != nil {
			s.endpoint = string(found[1])
		}
		return strings.Contains(s.printed(), "first message sent"), s.local.Ended()
	})
	if err != nil {
		return errors.Join(err, errors.New(lastWords(s.printed())))
	}
	config := harness.Config(s.endpoint, "local")
	s.sqs, s.ecs = sqs.NewFromConfig(config), ecs.NewFromConfig(config)
	return nil
}

func (s *Stage) localLog() string { return filepath.Join(s.folder, "local.log") }

// printed is all that local has printed.
func (s *Stage) printed() string {
	text, _ := os.ReadFile(s.localLog()) // not there yet: nothing is printed
	return string(text)
}

func lastWords(text string) string {
	const most = 600
	text = strings.TrimSpace(text)
	return text[max(0, len(text)-most):]
}

// environment is all that a program of the stage knows of this machine.
func (s *Stage) environment(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, more...)
}

// liveQueues are the URLs of the queues that no cause has deleted.
func (s *Stage) liveQueues() []string {
	s.shared.Lock()
	defer s.shared.Unlock()
	var urls []string
	for _, name := range queueNames {
		if !s.deleted[name] {
			urls = append(urls, s.queueURL(name))
		}
	}
	return urls
}

func (s *Stage) queueURL(name string) string { return s.endpoint + "/" + harness.Account + "/" + name }

// history is the database, past whatever makes it slow for the programs.
func (s *Stage) history(ctx context.Context) (_ store.Store, err error) {
	s.shared.Lock()
	defer s.shared.Unlock()
	if s.opened == nil {
		s.opened, err = open.Open(context.WithoutCancel(ctx), s.direct)
	}
	return s.opened, err
}

// parked counts the messages that wait in the database.
func (s *Stage) parked(ctx context.Context) (total int, err error) {
	db, err := s.history(ctx)
	if err != nil {
		return 0, err
	}
	const everAfter = 10 * 365 * 24 * time.Hour
	parked, err := db.CountDue(ctx, everAfter)
	for _, n := range parked {
		total += n
	}
	return total, err
}

var closingReport = regexp.MustCompile(`(?m)^lost (\d+), sent twice (\d+)`)

// close ends every program, and reads local's closing report.
func (s *Stage) close() {
	if s.hunt != nil {
		s.hunt()
	}
	for _, process := range s.others {
		_ = process.Stop() // its end is no fact of the incident
	}
	if s.local != nil {
		_ = s.local.Stop() // it fails where messages are lost, which its report says
	}
	s.record(func(f *Facts) {
		f.Printed = s.printed()
		if found := closingReport.FindStringSubmatch(f.Printed); found != nil {
			lost, lostErr := strconv.Atoi(found[1])
			twice, twiceErr := strconv.Atoi(found[2])
			if lostErr == nil && twiceErr == nil {
				f.Lost, f.Twice = &lost, &twice
			}
		}
	})
	if s.opened != nil {
		_ = s.opened.Close()
	}
	if s.postgres != nil {
		_ = s.postgres.close()
	}
	for _, stop := range s.stops {
		stop()
	}
}
