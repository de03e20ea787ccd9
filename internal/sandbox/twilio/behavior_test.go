package twilio

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/behavior"
)

// post creates a message without a socket, so that it can run in a bubble.
func post(ctx context.Context, s *Server) (status int) { return create(ctx, s).Code }

func create(ctx context.Context, s *Server) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, messagesPath, strings.NewReader(text(anna, "x").Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(account, token)
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	return recorder
}

func TestAnErrorAcceptsNothing(t *testing.T) {
	s := New(Options{})
	s.SetBehavior(Behavior{ErrorRate: 1})
	if status := post(t.Context(), s); status != 500 || s.Stats() != (Stats{Refused: 1}) {
		t.Errorf("got HTTP %d and %+v, want 500 and one refused", status, s.Stats())
	}
}

func TestAnErrorCodeIsAnsweredAsTwilioDoesAndAcceptsNothing(t *testing.T) {
	for code, status := range map[string]int{
		"20003": 401, "20429": 429, "20500": 500, "20503": 503, "21211": 400, "21606": 400, "21612": 400, "30002": 403,
	} {
		s := New(Options{})
		if answer := put(s, "/_sandbox/twilio", `{"errors":{"`+code+`":1}}`); answer.Code != 200 {
			t.Errorf("%s: PUT answered %d %s", code, answer.Code, answer.Body)
		}
		answer := create(t.Context(), s)
		if answer.Code != status || !strings.Contains(answer.Body.String(), `"code":`+code) || s.Stats() != (Stats{Refused: 1}) {
			t.Errorf("%s: got HTTP %d %s and %+v, want %d with the code, and one refused", code, answer.Code, answer.Body, s.Stats(), status)
		}
	}
}

func TestAGatewaysPageIsNotTwiliosJSON(t *testing.T) {
	s := New(Options{})
	put(s, "/_sandbox/twilio", `{"html":1}`)
	answer := create(t.Context(), s)
	if answer.Code != 502 || answer.Header().Get("Content-Type") != "text/html" || !strings.HasPrefix(answer.Body.String(), "<html>") || s.Stats() != (Stats{Refused: 1}) {
		t.Errorf("got HTTP %d %s and %+v, want 502 with a page, and one refused", answer.Code, answer.Body, s.Stats())
	}
}

func TestALostAnswerHasBeenAccepted(t *testing.T) {
	s := start(t)
	s.SetBehavior(Behavior{LostAnswerRate: 1})
	answer, err := http.DefaultClient.Do(s.request(http.MethodPost, messagesPath, text(anna, "lost")))
	if err == nil {
		_ = answer.Body.Close()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the connection cut", err)
	}
	if bodies, _ := s.bodies("To=%2B14155550123"); len(bodies) != 1 || s.Stats() != (Stats{Accepted: 1}) {
		t.Errorf("got %q and %+v, want the lost one alone", bodies, s.Stats())
	}
}

func TestTheRateLimitHoldsAndRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		s.SetBehavior(Behavior{RateLimit: 2})
		for i, want := range []int{201, 201, 429, 429} {
			if got := post(t.Context(), s); got != want {
				t.Errorf("create %d: got HTTP %d, want %d", i, got, want)
			}
		}
		s.SetBehavior(Behavior{RateLimit: 2, ErrorRate: 0}) // the same limit: no new burst
		time.Sleep(500 * time.Millisecond)
		for i, want := range []int{201, 429} {
			if got := post(t.Context(), s); got != want {
				t.Errorf("create %d after half a second: got HTTP %d, want %d", i, got, want)
			}
		}
		s.SetBehavior(Behavior{})
		if got := post(t.Context(), s); got != 201 {
			t.Errorf("without a limit: got HTTP %d, want 201", got)
		}
	})
}

func TestLatencyAndJitterAreWaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Second})
		began := time.Now()
		if post(t.Context(), s); time.Since(began) != time.Second {
			t.Errorf("got an answer after %s, want 1s", time.Since(began))
		}
		s.SetBehavior(Behavior{Latency: time.Second, Jitter: time.Second})
		began = time.Now()
		if post(t.Context(), s); time.Since(began) < time.Second || time.Since(began) >= 2*time.Second {
			t.Errorf("got an answer after %s, want 1s to 2s", time.Since(began))
		}
	})
}

func TestTheWaitEndsWithTheRequestAndAcceptsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if status := post(ctx, s); status != 503 || time.Since(began) != time.Second || s.Stats().Accepted != 0 {
			t.Errorf("got HTTP %d after %s and %+v, want 503 after 1s and none accepted", status, time.Since(began), s.Stats())
		}
	})
}

// put changes the behavior over HTTP.
func put(s *Server, path, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, httptest.NewRequest(http.MethodPut, path, strings.NewReader(body)))
	return recorder
}

func TestTheBehaviorIsSetOverHTTPFieldByField(t *testing.T) {
	s := New(Options{Latency: 50 * time.Millisecond})
	put(s, "/_sandbox/twilio", `{"errorRate":0.1,"rateLimit":100}`)
	answer := put(s, "/_sandbox/twilio", `{"latency":"120ms","jitter":"1s","lostAnswerRate":0.05}`)
	want := Behavior{Latency: 120 * time.Millisecond, Jitter: time.Second, ErrorRate: 0.1, Errors: behavior.Shares{}, LostAnswerRate: 0.05, RateLimit: 100}
	if !reflect.DeepEqual(s.Behavior(), want) {
		t.Errorf("got %+v, want %+v", s.Behavior(), want)
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/_sandbox/twilio", nil))
	const wire = `{"latency":"120ms","jitter":"1s","errorRate":0.1,"errors":{},"html":0,"lostAnswerRate":0.05,"rateLimit":100}` + "\n"
	if recorder.Body.String() != wire || answer.Body.String() != wire {
		t.Errorf("PUT answered %s, GET %s, want %s", answer.Body, recorder.Body, wire)
	}
}

func TestAWrongBehaviorIsRefusedWholeAndNamed(t *testing.T) {
	s := New(Options{})
	for body, named := range map[string]string{
		`{"latency":"60","errorRate":1.5}`: "latency: \\\"60\\\"",
		`{"jitter":"-1s"}`:                 "jitter",
		`{"errorRate":1.5,"latency":"1s"}`: "errorRate: 1.5",
		`{"lostAnswerRate":-0.1}`:          "lostAnswerRate",
		`{"rateLimit":-1}`:                 "rateLimit",
		`{"errorrRate":1}`:                 "errorrRate",
		`nothing`:                          "invalid character",
	} {
		answer := put(s, "/_sandbox/twilio", body)
		if answer.Code != 400 || !strings.Contains(answer.Body.String(), named) || !reflect.DeepEqual(s.Behavior(), Behavior{}) {
			t.Errorf("%s: got HTTP %d %s and %+v, want 400 that names %s", body, answer.Code, answer.Body, s.Behavior(), named)
		}
	}
}

func TestANumberOptsOutAndInOverHTTP(t *testing.T) {
	s := New(Options{})
	const path = "/_sandbox/twilio/opt-outs/" + anna
	if put(s, path, ""); post(t.Context(), s) != 400 {
		t.Error("a number that opted out was texted")
	}
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodDelete, path, nil))
	if post(t.Context(), s) != 201 {
		t.Error("a number that opted in again was not texted")
	}
}
