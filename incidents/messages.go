package main

import (
	"fmt"

	"github.com/novaura/acs-operator/internal/check/harness"
)

const campaign = "spring-sale"

func messageIncidents() []Incident {
	deadLetters := purge(harness.SMSQueue + "-dlq")
	return []Incident{
		{
			ID: "dead-letters-one-reason", Name: "20 messages are dead-lettered for one reason",
			Cause: put(harness.SMSQueue, bodies(20, func(i int) map[string]any {
				return map[string]any{"id": fmt.Sprint("no-number-", i), "channel": "sms", "type": "message_send", "to": "nobody", "body": "Hello"}
			})...), End: deadLetters,
			Expect: Expect{Count: Held(), Alerts: []string{"DeadLetters"}, Words: []string{harness.SMSQueue, "20", "bad_address", "worker deadletters"}, Resolves: true},
		},
		{
			ID: "dead-letters-many-reasons", Name: "24 messages are dead-lettered for many reasons",
			Cause: put(harness.SMSQueue, manyReasons(6)...), End: deadLetters,
			Expect: Expect{Count: Held(), Alerts: []string{"DeadLetters"}, Words: []string{harness.SMSQueue, "24", "not_json", "worker deadletters"}, Resolves: true},
		},
		{
			ID: "complaints-above-limit", Name: "5 % of a campaign's mails are complained about",
			Cause: put(emailQueue, mails("complaint", 400, 20)...), End: nothing,
			Expect: Expect{Count: Held(), Alerts: []string{"ComplaintsHigh"}, Words: []string{campaign}},
		},
		{
			ID: "bounces-above-limit", Name: "10 % of a campaign's mails bounce",
			Cause: put(emailQueue, mails("bounce", 400, 40)...), End: nothing,
			Expect: Expect{Count: Held(), Alerts: []string{"BouncesHigh"}, Words: []string{campaign}},
		},
		{
			ID: "opt-outs-surge", Name: "A tenth of a campaign's recipients answer STOP",
			Cause: inOrder(put(harness.SMSQueue, texts(400, "campaign", campaign)...), waitFor(settled), put(harness.SMSQueue, stops(40, "campaign")...)), End: nothing,
			Expect: Expect{Count: Held(), Alerts: []string{"OptOutsSurge"}, Words: []string{campaign}},
		},
	}
}

// texts are n messages to n numbers; a template names a campaign.
func texts(n int, prefix, template string) []string {
	return bodies(n, func(i int) map[string]any {
		m := map[string]any{"id": fmt.Sprintf("%s-%05d", prefix, i), "channel": "sms", "type": "message_send", "to": person(i), "body": fmt.Sprint("Message ", i)}
		if template != "" {
			m["template"] = template
		}
		return m
	})
}

// person is a number that the load does not use.
func person(i int) string { return fmt.Sprintf("+14155%06d", 600_000+i) }

// stops are the answers of the first n of them.
func stops(n int, prefix string) []string {
	return bodies(n, func(i int) map[string]any {
		return map[string]any{"id": fmt.Sprintf("%s-stop-%05d", prefix, i), "channel": "sms", "type": "message_received", "from": person(i), "to": "+15005550006", "body": "STOP"}
	})
}

// mails are n of a campaign; the first of them go to an address of SES's
// simulator.
func mails(simulated string, n, first int) []string {
	return bodies(n, func(i int) map[string]any {
		to := fmt.Sprintf("reader-%d@example.com", i)
		if i < first {
			to = fmt.Sprintf("%s+%d@simulator.amazonses.com", simulated, i)
		}
		return map[string]any{
			"id": fmt.Sprintf("%s-%05d", simulated, i), "channel": "email", "type": "message_send", "to": to,
			"subject": "From Novaura", "body": "Hello", "template": campaign,
		}
	})
}

// manyReasons are n messages of each of four kinds that cannot be understood.
func manyReasons(n int) []string {
	var all []string
	for i := range n {
		all = append(all,
			fmt.Sprintf(`{"id":"cut-%d","channel":"sms"`, i),
			fmt.Sprintf(`{"id":"other-channel-%d","channel":"email","type":"message_send","to":"a@example.com","subject":"Hi","body":"Hello"}`, i),
			fmt.Sprintf(`{"id":"no-type-%d","channel":"sms","type":"message_sent","to":"+14155550123","body":"Hello"}`, i),
			fmt.Sprintf(`{"id":"no-number-%d","channel":"sms","type":"message_send","to":"nobody","body":"Hello"}`, i))
	}
	return all
}
