package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/novaura/acs-operator/internal/message"
	sandboxsqs "github.com/novaura/acs-operator/internal/sandbox/sqs"
)

func TestADayIsQuietAtNightBusyByDayAndHasItsCampaignsAtTheFullHour(t *testing.T) {
	at := func(hour float64) time.Duration {
		return time.Duration((hour - dayBegins) / 24 * float64(dayLength))
	}
	for _, c := range []struct {
		name            string
		hour            float64
		usual, campaign float64
	}{
		{"before work", 7, 2, 0}, {"as the first campaign leaves", 9.01, 10, 100}, {"when it has left", 9.2, 10, 0},
		{"at the day's height", 14, 28, 0}, {"at night", 27, 1, 0}, {"the next morning", 33.01, 10, 100},
	} {
		usual, campaign := rateAt("day", 10, at(c.hour))
		if usual < 0.6*c.usual || usual > 1.4*c.usual || campaign != c.campaign {
			t.Errorf("%s: %.1f and a campaign of %.1f messages/s, want about %.1f and %.1f", c.name, usual, campaign, c.usual, c.campaign)
		}
	}
	sum := 0.0
	for minute := range 24 * 60 {
		usual, _ := rateAt("day", 10, at(float64(minute)/60))
		sum += usual / (24 * 60)
	}
	if sum < 9.8 || sum > 10.2 {
		t.Errorf("a day's mean is %.2f messages/s, want 10", sum)
	}
}

func TestAQueueThatRefusesTheLoadIsSaidOnceAndDoesNotEndIt(t *testing.T) {
	queues := sandboxsqs.New(sandboxsqs.Options{Account: "123456789012", Region: region})
	if err := queues.Load(strings.NewReader(emptyQueues)); err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(queues)
	defer endpoint.Close()
	client := sqs.NewFromConfig(awsConfig(endpoint.URL))
	both := channelQueues()[:2] // of mails there is no queue
	for i := range both {
		both[i].url = endpoint.URL + "/123456789012/" + both[i].name
	}
	var out strings.Builder
	l := newLoad(client, nil, both, []string{"sms", "email"}, &out)
	for range 3 {
		l.send(t.Context(), 100, message.Transactional)
		for _, lane := range l.lanes {
			if !lane.retryAt.IsZero() {
				lane.retryAt = time.Now() // it is time to try again
			}
		}
	}
	const refused = "load: novaura-acs-email-events takes no messages: AWS.SimpleQueueService.NonExistentQueue: The specified queue does not exist; the load goes on without it, and tries again every 5s\n"
	if out.String() != refused {
		t.Errorf("said %q, want %q", &out, refused)
	}
	held, _ := queues.Messages(smsQueue)
	if sent := l.sent(message.SMS); sent < 100 || int(sent) != len(held) || int(sent) != len(l.ids(message.SMS)) || l.sent(message.Email) != 0 {
		t.Errorf("%d texts and %d mails were accepted, the queue holds %d, %d ids are known", sent, l.sent(message.Email), len(held), len(l.ids(message.SMS)))
	}
	if _, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &both[1].name}); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	l.send(t.Context(), 100, message.Transactional)
	if want := "load: novaura-acs-email-events takes messages again\n"; out.String() != want {
		t.Errorf("said %q, want %q", &out, want)
	}
}

func TestFewMailsBounceAndHardlyAnyIsComplainedAbout(t *testing.T) {
	const mails = 400_000
	count := map[string]int{}
	for range mails {
		name, _, _ := strings.Cut(mailbox().Reveal(), "+")
		count[name]++
	}
	if bounced := count["bounce"]; bounced < mails/bounceOf*8/10 || bounced > mails/bounceOf*12/10 {
		t.Errorf("%d of %d bounce, want about 1 in %d", bounced, mails, bounceOf)
	}
	if complained := count["complaint"]; complained < 30 || complained > 150 {
		t.Errorf("%d of %d are complained about, want about 1 in %d", complained, mails, complaintOf)
	}
}
