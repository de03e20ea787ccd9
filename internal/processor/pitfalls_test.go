package processor

import (
	"strings"
	"testing"

	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
	"github.com/novaura/acs-operator/internal/store"
)

// docs/pitfalls.md names these.

func TestPitfall20ADeadTokenIsNeverTriedAgainByAnyPush(t *testing.T) {
	t.Parallel()
	b := newBench(t, pushing)
	b.sender.next = []func(*fakeSender, *message.Message) error{refuses(provider.Suppress, "UNREGISTERED", false)}
	b.want(b.handle(push(1)), consumer.DeadLetter, store.Failed, 1)
	for _, id := range []string{"b", "c"} {
		again := push(2)
		again.Body = strings.NewReplacer(`"id":"a"`, `"id":"`+id+`"`, `"t1"`, `"fresh-`+id+`"`).Replace(again.Body)
		if got := b.handle(again); got.Action != consumer.Delete || b.event(id).SettledReason != "of 2 tokens 1 accepted, 1 dead" {
			t.Errorf("%s: got %+v, %s", id, got, b.event(id).SettledReason)
		}
	}
	if b.sender.sends != 3 {
		t.Errorf("%d sends, want one for the dead token and one for each that lives", b.sender.sends)
	}
	if list, err := b.store.Suppressions(t.Context(), "push", 10); err != nil || len(list) != 1 || strings.Contains(list[0].AddressHash, "t0") {
		t.Errorf("got %+v, %v", list, err)
	}
}

// A report that comes again has no second effect, and none is taken for another:
// neither two on one mail with all of SES's marks alike, nor one after the other
// on a text.
func TestPitfall21NoReportHidesAnother(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailing)
	b.want(b.handle(mail(aMail)), consumer.Delete, store.Sent, 1)
	of := func(address string) consumer.Received {
		r := notice("Bounce", `"bounce":{"bounceType":"Permanent","bounceSubType":"General","feedbackId":"1","bouncedRecipients":[{"emailAddress":"`+address+`"}]}`)
		r.MessageID = "sqs-" + address
		return r
	}
	for range 2 {
		for _, address := range []string{"cc@example.com", "alice@example.com", "bcc@example.com"} {
			if got := b.handle(of(address)); got.Action != consumer.Delete {
				t.Errorf("%s: %+v", address, got)
			}
		}
	}
	for _, address := range []string{"cc@example.com", "alice@example.com", "bcc@example.com"} {
		if reason, err := b.store.SuppressionReason(t.Context(), "email", redact.Personal(address)); err != nil || reason == "" {
			t.Errorf("%s is not suppressed: %v", address, err)
		}
	}
	reports, err := b.store.Events(t.Context(), store.Filter{Type: string(message.Status)})
	if err != nil || len(reports) != 3 || b.event("a").Status != store.Undelivered {
		t.Errorf("%d reports are recorded, want 3; the mail is %s, %v", len(reports), b.event("a").Status, err)
	}
}

// Whatever happens to a message of any channel, the log tells ids and codes, and
// nothing of a person: no address, no word of what was said, no token.
func TestPitfall27NoLogTellsOfAPerson(t *testing.T) {
	t.Parallel()
	secrets := []string{"4155550123", "anna", "secret-token", "Tell nobody", "Hush", "c0ffee@example.org"}
	bodies := map[string]string{
		"sms":   `{"id":"a","type":"message_send","to":"+14155550123","body":"Tell nobody"}`,
		"email": `{"id":"a","type":"message_send","to":"Anna <anna@example.com>","cc":["c0ffee@example.org"],"subject":"Hush","body":"Tell nobody"}`,
		"push":  `{"id":"a","type":"message_send","title":"Hush","body":"Tell nobody","tokens":["secret-token"]}`,
		"none":  `{"id":"a","type":"message_send","to":"anna","body":"Tell nobody"`,
		"wrong": `{"id":"a","type":"message_send","to":"anna@","subject":7,"body":"Tell nobody"}`,
		"reply": `{"id":"a","type":"message_received","from":"+14155550123","body":"Tell nobody"}`,
		"hook":  "MessageSid=SM1&MessageStatus=delivered&To=%2B14155550123",
	}
	happenings := map[string]func(*bench){
		"all is well": func(*bench) {}, "the store is down": func(b *bench) { b.store.set("Claim", -1); b.store.set("Record", -1) },
		"the settlement is lost":     func(b *bench) { b.store.set("Settle", -1); b.StoreTimeout = 1 },
		"the recipient is not to be": func(b *bench) { _ = b.store.Suppress(b.t.Context(), "sms", person, "STOP") },
	}
	for _, class := range []provider.Class{provider.InDoubt, provider.Permanent, provider.Suppress, provider.Config, provider.Throttled, provider.Transient} {
		happenings[class.String()] = func(b *bench) {
			b.sender.next = []func(*fakeSender, *message.Message) error{refuses(class, "4711", false)}
		}
	}
	for kind, body := range bodies {
		for name, happen := range happenings {
			b := newBench(t, pushing, mailing)
			happen(b)
			for range 2 {
				r := received(body)
				if kind == "email" || kind == "push" {
					r.Queue = consumer.Queue{Name: kind + "-events", Channel: kind}
				}
				r.GroupID = "tenant"
				outcome := b.handle(r)
				told := b.logs.String() + outcome.Reason
				for _, secret := range secrets {
					if strings.Contains(told, secret) {
						t.Errorf("%s, %s: the log tells %q:\n%s", kind, name, secret, told)
					}
				}
				b.clock.turn(lapse)
			}
		}
	}
}
