package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/emf"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/processor"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/store"
)

const (
	metricsNamespace = "ACS/Worker"
	publishEvery     = 30 * time.Second
	parkedWithin     = 2 * time.Minute // about what a task takes to start
)

// publish writes what the worker alone knows, twice a minute and at the end.
// Counts are since the line before; every worker tells the same of the store,
// and the oldest message is the oldest of each: read both by their maximum.
func (s *services) publish(ctx context.Context) {
	last := make([]totals, len(s.consumers))
	ticker := time.NewTicker(publishEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.publishOnce(context.WithoutCancel(ctx), last)
			return
		case <-ticker.C:
			s.publishOnce(ctx, last)
		}
	}
}

func (s *services) publishOnce(ctx context.Context, last []totals) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	held, heldErr := s.db.CountStatus(ctx, store.InDoubt)
	parked, parkedErr := s.db.CountDue(ctx, parkedWithin)
	for i, c := range s.consumers {
		now := s.totals(c)
		metrics := workMetrics(now, last[i])
		last[i] = now
		if heldErr == nil { // what is not known is not 0
			metrics = append(metrics, emf.Metric{Name: "InDoubt", Unit: emf.Count, Value: float64(held[c.Queue.Name])})
		}
		if parkedErr == nil {
			metrics = append(metrics, emf.Metric{Name: "Parked", Unit: emf.Count, Value: float64(parked[c.Queue.Name])})
		}
		err := emf.Write(s.out, time.Now(), metricsNamespace,
			[]emf.Dimension{{Name: "Service", Value: s.Service}, {Name: "Queue", Value: c.Queue.Name}}, metrics)
		if err != nil {
			s.logger.WarnContext(ctx, "cannot write metrics", "error", err)
		}
	}
}

// totals are what was counted for one queue since the start, and how it stands.
type totals struct {
	consumer.Stats

	calls       processor.QueueTotals
	breakerOpen bool // of a provider of its channel
}

func (s *services) totals(c *consumer.Consumer) totals {
	open := s.handler.Breakers(message.Channel(c.Queue.Channel))
	return totals{c.Stats(), s.handler.Totals(c.Queue.Name), slices.Contains(slices.Collect(maps.Values(open)), true)}
}

func workMetrics(now, last totals) []emf.Metric {
	count := func(name string, now, last int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Value: float64(now - last)}
	}
	calls := func(name, class string) emf.Metric {
		return count(name, now.calls.OfClass(class), last.calls.OfClass(class))
	}
	return []emf.Metric{
		count("Processed", now.Processed, last.Processed),
		count("Failed", now.Failed, last.Failed),
		count("DeadLettered", now.DeadLettered, last.DeadLettered),
		count("ProviderLimited", now.Limited, last.Limited),
		count("CredentialsRefused", now.Refused, last.Refused),
		count("LeasesLost", now.LeasesLost, last.LeasesLost),
		{Name: "OldestMessage", Unit: emf.Seconds, Value: now.OldestWaiting.Seconds()},
		{Name: "InFlight", Unit: emf.Count, Value: float64(now.InFlight)},
		count("Retried", now.Retried, last.Retried),
		{Name: "BusySeconds", Unit: emf.Seconds, Value: now.BusySeconds - last.BusySeconds},
		{Name: "SlotSeconds", Unit: emf.Seconds, Value: now.SlotSeconds - last.SlotSeconds},
		calls("ProviderCalls", ""),
		count("ProviderErrors", now.calls.Faults, last.calls.Faults),
		calls("ProviderThrottled", provider.Throttled.String()),
		calls("ProviderRejected", provider.Config.String()),
		{Name: "BreakerOpen", Unit: emf.Count, Value: float64(oneIf(now.breakerOpen))},
		count("ClaimsFailed", now.calls.ClaimsFailed, last.calls.ClaimsFailed),
	}
}

// oneIf is a truth as a number.
func oneIf(is bool) int {
	if is {
		return 1
	}
	return 0
}
