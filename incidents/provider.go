package main

import (
	"strconv"
	"time"
)

// smsShare is the part of local's load that are texts, where it also sends
// pushes (7 to 1).
const smsShare = 7.0 / 8

// providerIncidents are Twilio's; other channels go on meanwhile.
func providerIncidents() []Incident {
	half := strconv.FormatFloat(usualRate*smsShare/2, 'f', 2, 64)
	return []Incident{
		{
			ID: "provider-500", Short: true, Name: "A provider answers 500 to every text",
			Cause: standIn("twilio", `{"errorRate":1}`), End: standIn("twilio", `{"errorRate":0}`),
			Expect: Expect{Count: Held(), Alerts: []string{"ProviderFailing"}, Words: []string{"twilio", "20500"}, Status: []string{"ProviderFailing"}, Resolves: true},
		},
		{
			ID: "provider-30-percent", Name: "A provider answers 500 to 30 % of the texts",
			Cause: standIn("twilio", `{"errorRate":0.3}`), End: standIn("twilio", `{"errorRate":0}`),
			Expect: Expect{Count: AtMost(2 * usualTasks), Alerts: []string{"ProviderErrors"}, Words: []string{"twilio", "20500", "%"}, Resolves: true},
		},
		{
			ID: "provider-slow", Name: "A provider answers in 8 s instead of 150 ms",
			Cause: standIn("twilio", `{"latency":"8s"}`), End: standIn("twilio", `{"latency":"150ms"}`),
			Expect: Expect{Count: AtMost(usualMost), Alerts: []string{"ProviderSlow"}, Words: []string{"twilio", "8"}, Resolves: true},
		},
		{
			ID: "provider-throttles", Name: "A provider answers 429 above half of the arrival rate",
			Cause: standIn("twilio", `{"rateLimit":`+half+`}`), End: standIn("twilio", `{"rateLimit":0}`), During: 3 * time.Minute,
			Expect: Expect{
				Count: AtMost(usualTasks + 1), Alerts: []string{"ProviderThrottling"}, Words: []string{"twilio", "20429"},
				Status: []string{"BehindObjective", "ProviderFailing"}, Resolves: true,
			},
		},
		{
			ID: "provider-cuts", Name: "A provider accepts each text and cuts the connection",
			Cause: standIn("twilio", `{"lostAnswerRate":1}`), End: standIn("twilio", `{"lostAnswerRate":0}`),
			Expect: Expect{Count: AtMost(usualTasks + 1), Alerts: []string{"ProviderFailing"}, Words: []string{"twilio"}, Status: []string{"ProviderFailing"}, Resolves: true},
		},
		{
			ID: "credentials-rejected", Name: "A provider rejects our credentials",
			Cause: standIn("twilio", `{"errors":{"20003":1}}`), End: standIn("twilio", `{"errors":{}}`),
			Expect: Expect{
				Count: Held(), Alerts: []string{"CredentialsRejected"}, Words: []string{"twilio", "20003", "TWILIO_AUTH_TOKEN"},
				Status: []string{"ProviderFailing"}, Resolves: true,
			},
		},
		{
			ID: "sender-not-allowed", Name: "A provider rejects our sender number",
			Cause: standIn("twilio", `{"errors":{"21606":1}}`), End: standIn("twilio", `{"errors":{}}`),
			Expect: Expect{Count: Held(), Alerts: []string{"SenderRejected"}, Words: []string{"twilio", "21606", "TWILIO_FROM_NUMBER"}, Resolves: true},
		},
	}
}
