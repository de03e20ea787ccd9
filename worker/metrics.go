package main

import (
	"context"
	"time"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/emf"
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
	last := make([]consumer.Stats, len(s.consumers))
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

func (s *services) publishOnce(ctx context.Context, last []consumer.Stats) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	held, heldErr := s.db.CountStatus(ctx, store.InDoubt)
	parked, parkedErr := s.db.CountDue(ctx, parkedWithin)
	for i, c := range s.consumers {
		now := c.Stats()
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

func workMetrics(now, last consumer.Stats) []emf.Metric {
	count := func(name string, now, last int) emf.Metric {
		return emf.Metric{Name: name, Unit: emf.Count, Value: float64(now - last)}
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
	}
}
