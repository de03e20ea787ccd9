package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

// reportsWithin is how new a report must be for the doctor to believe it.
const reportsWithin = 2 * time.Minute

// checkReports says what the running workers tell of each provider and of the
// database: what only a send can find out.
func (c doctorCommand) checkReports(ctx context.Context) (findings []finding) {
	ctx, cancel := context.WithTimeout(ctx, oneCheck)
	defer cancel()
	wanted, _, err := c.wanted()
	if err != nil {
		return nil // settings has said so
	}
	db, err := c.OpenExisting(ctx)
	if err != nil {
		return nil // checkDatabase has
	}
	defer func() { _ = db.Close() }()
	reports, err := db.Reports(ctx, reportsWithin)
	if err != nil {
		return nil // checkDatabase has
	}
	for _, channel := range channels {
		if wanted[channel] && c.urls(channel) != "" && c.missing(channel) == "" {
			findings = append(findings, c.onChannel(channel, reports)...)
		}
	}
	return append(findings, onClaims(reports)...)
}

// onChannel says how the providers of a channel fare, by the reports on its queues.
func (c doctorCommand) onChannel(channel message.Channel, reports []store.Report) (findings []finding) {
	name, workers, byProvider := "provider "+string(channel), map[string]bool{}, map[string]store.ProviderReport{}
	for _, report := range reports {
		if report.Channel != string(channel) {
			continue
		}
		workers[report.Worker] = true
		for _, one := range report.Providers {
			byProvider[one.Provider] = merge(byProvider[one.Provider], one)
		}
	}
	switch {
	case len(workers) == 0:
		return []finding{{
			name, warned, fmt.Sprintf("no worker has reported within %s: the provider was only checked for its credentials or connection, and not by a send", reportsWithin),
			"start a worker, or send one message with `worker send`",
		}}
	case len(byProvider) == 0:
		return []finding{{name, fine, fmt.Sprintf("%d workers report, and called nobody in the last minute: the provider was only checked for its credentials or connection", len(workers)), ""}}
	}
	for _, one := range byProvider {
		findings = append(findings, onProvider(name, one))
	}
	slices.SortFunc(findings, func(a, b finding) int { return strings.Compare(a.Detail, b.Detail) })
	return findings
}

// merge adds up what two workers, or two queues, say of one provider.
func merge(a, b store.ProviderReport) store.ProviderReport {
	earlier := func(a, b time.Time) time.Time {
		if a.IsZero() || !b.IsZero() && b.Before(a) {
			return b
		}
		return a
	}
	sum := store.ProviderReport{
		Provider: b.Provider, Calls: a.Calls + b.Calls, Failed: a.Failed + b.Failed,
		OpenedAt: earlier(a.OpenedAt, b.OpenedAt), FailedAt: earlier(a.FailedAt, b.FailedAt),
	}
	sum.Mean = (a.Mean*time.Duration(a.Calls) + b.Mean*time.Duration(b.Calls)) / time.Duration(max(sum.Calls, 1))
	sum.Failures = slices.Clone(a.Failures)
	for _, more := range b.Failures {
		same := slices.IndexFunc(sum.Failures, func(f store.Failure) bool {
			return f.Class == more.Class && f.Code == more.Code && f.HTTPStatus == more.HTTPStatus
		})
		if same >= 0 {
			sum.Failures[same].Count += more.Count
		} else {
			sum.Failures = append(sum.Failures, more)
		}
	}
	slices.SortStableFunc(sum.Failures, func(a, b store.Failure) int { return b.Count - a.Count })
	return sum
}

// onProvider judges one provider by what it answered in the last minute.
func onProvider(name string, p store.ProviderReport) finding {
	most := func(is func(store.Failure) bool) (store.Failure, bool) {
		i := slices.IndexFunc(p.Failures, is)
		if i < 0 {
			return store.Failure{}, false
		}
		return p.Failures[i], true
	}
	if refused, is := most(func(f store.Failure) bool { return f.Credentials }); is {
		return finding{
			name, failed, fmt.Sprintf("%s rejected our credentials in %d of %d calls: %s", p.Provider, refused.Count, p.Calls, words(refused)),
			"mend the secret that holds them; workers read it again by themselves, and messages wait",
		}
	}
	if fault, is := most(func(f store.Failure) bool { return f.ProviderFault }); is && !p.FailedAt.IsZero() {
		return finding{
			name, failed, fmt.Sprintf("%s failed %s of %d calls since %s: %s", p.Provider, percent(p.Failed, p.Calls), p.Calls, p.FailedAt.UTC().Format("15:04:05Z"), words(fault)),
			"see the provider's status page; messages wait, none is lost",
		}
	}
	for _, f := range p.Failures {
		if 2*f.Count <= p.Calls || f.Class != provider.Throttled.String() && f.Class != provider.Config.String() {
			continue
		}
		do := "lower rateLimit in the DeliveryPolicy, or have the provider raise its limit"
		if f.Class == provider.Config.String() {
			do = "correct the setting that the code is about"
		}
		return finding{name, warned, fmt.Sprintf("%s answered %s of %d calls so: %s, %s", p.Provider, percent(f.Count, p.Calls), p.Calls, f.Class, words(f)), do}
	}
	return finding{name, fine, fmt.Sprintf("%s: %d calls in the last minute, %s failed, %s each", p.Provider, p.Calls, percent(p.Failed, p.Calls), p.Mean.Round(time.Millisecond)), ""}
}

// words are a failure's status, code and message.
func words(f store.Failure) string {
	var parts []string
	if f.HTTPStatus != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", f.HTTPStatus))
	}
	if f.Code != "" {
		parts = append(parts, "code "+f.Code)
	}
	text := strings.Join(parts, ", ")
	switch {
	case text == "":
		return cmpOr(f.Message, "no answer")
	case f.Message != "":
		return text + " (" + f.Message + ")"
	}
	return text
}

// percent is a share in words.
func percent(part, of int) string {
	const hundred = 100
	if of == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.0f %%", hundred*float64(part)/float64(of))
}

// onClaims says where workers cannot write their claims.
func onClaims(reports []store.Report) (findings []finding) {
	for _, report := range reports {
		if report.Claims.FailedAt.IsZero() {
			continue
		}
		findings = append(findings, finding{
			"claims " + report.Queue, failed, fmt.Sprintf("worker %s cannot claim messages since %s: %s", report.Worker, report.Claims.FailedAt.UTC().Format("15:04:05Z"), report.Claims.Error),
			"see the database: its disk, its locks, its connections; messages wait, none is lost",
		})
	}
	return findings
}
