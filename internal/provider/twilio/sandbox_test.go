package twilio

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
	sandbox "github.com/novaura/acs-operator/internal/sandbox/twilio"
)

func TestAStoryWithTwiliosStandIn(t *testing.T) {
	t.Parallel()
	server := sandbox.New(sandbox.Options{AccountSID: "AC1", AuthToken: "s3cr3t"})
	listening := httptest.NewServer(server)
	t.Cleanup(listening.Close)
	client := open(t, nil, func(c *Config) { c.BaseURL = listening.URL })
	since := time.Now()

	server.SetBehavior(sandbox.Behavior{ErrorRate: 1})
	_, err := client.Send(t.Context(), text())
	check(t, err, provider.InDoubt)
	if found, err := client.Find(t.Context(), text(), since); len(found) != 0 || err != nil {
		t.Errorf("after an error that accepted nothing: found %v, %v", found, err)
	}

	server.SetBehavior(sandbox.Behavior{LostAnswerRate: 1})
	_, err = client.Send(t.Context(), text())
	check(t, err, provider.InDoubt)
	if got := server.Stats().Accepted; got != 1 {
		t.Fatalf("%d accepted after one lost answer: somebody sent again", got)
	}
	found, err := client.Find(t.Context(), text(), since)
	if len(found) != 1 || err != nil {
		t.Fatalf("after a lost answer: found %v, %v", found, err)
	}

	server.SetBehavior(sandbox.Behavior{})
	receipt, err := client.Send(t.Context(), text())
	if err != nil || receipt.ID == "" || receipt.ID == found[0].ID {
		t.Errorf("got %+v, %v", receipt, err)
	}

	server.OptOut(number)
	_, err = client.Send(t.Context(), text())
	check(t, err, provider.Suppress)

	stranger := open(t, nil, func(c *Config) { c.BaseURL, c.AuthToken = listening.URL, "wrong" })
	_, err = stranger.Send(t.Context(), text())
	check(t, err, provider.Config)
}
