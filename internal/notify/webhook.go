package notify

import (
	"context"
	"time"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/alerting"
)

// webhookBody is Alertmanager's webhook format, version 4, so that what takes
// its notifications takes ours.
//
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
type webhookBody struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	NotificationCause string            `json:"notificationReason"` // ours: an alerting.Reason
	Alerts            []webhookAlert    `json:"alerts"`
}

type webhookAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // zero: it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

func (n *Notifier) webhook(r config.Receiver, what alerting.Notification) (func(context.Context) error, error) {
	bearer := ""
	if r.Webhook.BearerToken != nil {
		var err error
		if bearer, err = n.secret(*r.Webhook.BearerToken); err != nil {
			return nil, err
		}
	}
	body := n.body(r, what)
	return func(ctx context.Context) error { return n.post(ctx, r.Webhook.URL, bearer, body) }, nil
}

func (n *Notifier) body(r config.Receiver, what alerting.Notification) webhookBody {
	body := webhookBody{
		Version: "4", GroupKey: what.Key, Status: status(what.Firing()), Receiver: r.Name, ExternalURL: n.options.PageURL,
		GroupLabels:       map[string]string{"alertname": what.Alert, "policy": what.Policy},
		NotificationCause: string(what.Reason), Alerts: make([]webhookAlert, 0, len(what.Alerts)),
	}
	for _, a := range what.Alerts {
		one := webhookAlert{
			Status: status(a.State == alerting.Firing), Labels: a.Labels(), Annotations: map[string]string{"summary": a.Message},
			StartsAt: a.FiredAt, EndsAt: a.ResolvedAt, GeneratorURL: n.options.PageURL, Fingerprint: a.Fingerprint(),
		}
		if a.RunbookURL != "" {
			one.Annotations["runbook_url"] = a.RunbookURL
		}
		if a.Unknown != "" {
			one.Annotations["unknown"] = a.Unknown
		}
		body.Alerts = append(body.Alerts, one)
	}
	body.CommonLabels = common(body.Alerts, func(a webhookAlert) map[string]string { return a.Labels })
	body.CommonAnnotations = common(body.Alerts, func(a webhookAlert) map[string]string { return a.Annotations })
	return body
}

func status(firing bool) string {
	if firing {
		return "firing"
	}
	return "resolved"
}

// common is what all alerts have alike.
func common(alerts []webhookAlert, of func(webhookAlert) map[string]string) map[string]string {
	shared := map[string]string{}
	for i, a := range alerts {
		for name, value := range of(a) {
			if i == 0 {
				shared[name] = value
			}
		}
		for name, value := range shared {
			if of(a)[name] != value {
				delete(shared, name)
			}
		}
	}
	return shared
}
