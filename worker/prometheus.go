package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/novaura/acs-operator/internal/message"
)

// queueMetric is one number of a queue.
type queueMetric struct {
	name, help string
	kind       prometheus.ValueType
	of         func(totals) float64
}

// queueMetrics have the label queue, and never one of a task or a person.
var queueMetrics = []queueMetric{
	{"processed_total", "Messages whose work ended.", prometheus.CounterValue, func(t totals) float64 { return float64(t.Processed) }},
	{"failed_total", "Messages whose work failed, those that come again included.", prometheus.CounterValue, func(t totals) float64 { return float64(t.Failed) }},
	{"retried_total", "Messages given back to their queue for another try.", prometheus.CounterValue, func(t totals) float64 { return float64(t.Retried) }},
	{"dead_lettered_total", "Messages moved to the dead-letter queue.", prometheus.CounterValue, func(t totals) float64 { return float64(t.DeadLettered) }},
	{"busy_seconds_total", "How long slots worked on messages, in slot-seconds.", prometheus.CounterValue, func(t totals) float64 { return t.BusySeconds }},
	{"slot_seconds_total", "How long slots were offered, in slot-seconds.", prometheus.CounterValue, func(t totals) float64 { return t.SlotSeconds }},
	{"oldest_message_age_seconds", "Age of the oldest message in work; 0 when there is none.", prometheus.GaugeValue, func(t totals) float64 { return t.OldestWaiting.Seconds() }},
	{"in_flight", "Messages in work.", prometheus.GaugeValue, func(t totals) float64 { return float64(t.InFlight) }},
	{"claims_total", "Statements that claimed messages in the database.", prometheus.CounterValue, func(t totals) float64 { return float64(t.calls.Claims) }},
	{"claim_errors_total", "Of these, the ones that failed.", prometheus.CounterValue, func(t totals) float64 { return float64(t.calls.ClaimsFailed) }},
}

var (
	providerCalls = prometheus.NewDesc("acs_worker_provider_calls_total",
		"Calls of providers, by class: ok, transient, throttled, config, permanent, suppress, in_doubt.", []string{"queue", "provider", "class"}, nil)
	breakerOpen = prometheus.NewDesc("acs_worker_breaker_open",
		"1 while the circuit breaker of a provider is open and its messages wait.", []string{"channel", "provider"}, nil)
)

// metrics serves what publish writes, whenever it is asked for.
func (s *services) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// collector reads the counts where they are kept.
type collector struct{ *services }

// Describe sends nothing: which providers there are is known when they are called.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(into chan<- prometheus.Metric) {
	channels := map[message.Channel]bool{}
	for _, one := range c.consumers {
		queue, now := one.Queue.Name, c.totals(one)
		channels[message.Channel(one.Queue.Channel)] = true
		for _, metric := range queueMetrics {
			desc := prometheus.NewDesc("acs_worker_"+metric.name, metric.help, []string{"queue"}, nil)
			into <- prometheus.MustNewConstMetric(desc, metric.kind, metric.of(now), queue)
		}
		for provider, classes := range now.calls.Calls {
			for class, count := range classes {
				into <- prometheus.MustNewConstMetric(providerCalls, prometheus.CounterValue, float64(count), queue, provider, class)
			}
		}
	}
	for channel := range channels {
		for provider, open := range c.handler.Breakers(channel) {
			into <- prometheus.MustNewConstMetric(breakerOpen, prometheus.GaugeValue, float64(oneIf(open)), string(channel), provider)
		}
	}
}
