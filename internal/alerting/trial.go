package alerting

import (
	"strings"
	"time"

	"github.com/novaura/acs-operator/config"
)

// TestAlert is the name of the alert that tests a receiver.
const TestAlert = "TestOfReceiver"

// TestNotification is what a receiver is sent to see whether it works.
func TestNotification(policy, receiver string, index int, now time.Time) Notification {
	a := Alert{
		Alert: TestAlert, Severity: config.SeverityInfo, AlertPolicy: policy, Policy: "test", State: Firing, Since: now, FiredAt: now,
		Message: "a test of this receiver; nothing is wrong",
	}
	return Notification{
		Key: strings.Join([]string{policy, TestAlert, receiver, now.Format(time.RFC3339)}, "/"), AlertPolicy: policy, Alert: TestAlert,
		Policy: "test", Receiver: receiver, Index: index, Reason: FirstAlert, Time: now, Within: time.Minute, Alerts: []Alert{a},
		firing: []string{a.Fingerprint()},
	}
}
