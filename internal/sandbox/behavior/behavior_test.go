package behavior

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

func put(c *Control, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	c.ServeHTTP(answer, httptest.NewRequest(http.MethodPut, "/_sandbox/x", strings.NewReader(body)))
	return answer
}

func control() *Control {
	return New(Provider{Name: "twilio", Codes: []string{"20500", "20003"}, HTTP: true}, Behavior{})
}

func TestFaultsAreDrawnByTheirShares(t *testing.T) {
	t.Parallel()
	c := control()
	if answer := put(c, `{"errorRate":0.1,"html":0.2,"errors":{"20003":0.3,"20500":0.15}}`); answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	const draws = 20_000
	drawn := map[Fault]float64{}
	for range draws {
		drawn[c.Fault()] += 1.0 / draws
	}
	for fault, want := range map[Fault]float64{
		{Internal: true}: 0.1, {HTML: true}: 0.2, {Code: "20003"}: 0.3, {Code: "20500"}: 0.15, {}: 0.25,
	} {
		if got := drawn[fault]; got < want-0.03 || got > want+0.03 {
			t.Errorf("%+v: got a share of %.3f, want %.2f", fault, got, want)
		}
	}
}

func TestErrorsAreOneFieldThatAPUTReplaces(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want Shares
	}{
		"another code replaces the first":    {`{"errors":{"20003":1}}`, Shares{"20003": 1}},
		"an empty object ends them":          {`{"errors":{}}`, Shares{}},
		"null ends them":                     {`{"errors":null}`, Shares{}},
		"a share of zero ends a code":        {`{"errors":{"20500":0}}`, Shares{}},
		"another field leaves them":          {`{"latency":"1s"}`, Shares{"20500": 0.5}},
		"what is refused leaves them":        {`{"errors":{"20003":1},"latency":"soon"}`, Shares{"20500": 0.5}},
		"an unknown code leaves them":        {`{"errors":{"1":0.1}}`, Shares{"20500": 0.5}},
		"shares above one in all leave them": {`{"errors":{"20003":0.6},"html":0.5}`, Shares{"20500": 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := control()
			put(c, `{"errors":{"20500":0.5}}`)
			answer := put(c, tc.body)
			if got := c.Get().Wire().Errors; !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v; answered %s", got, tc.want, answer.Body)
			}
		})
	}
}

func TestAWrongFaultSaysWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"errors":{"99999":1}}`:              `twilio has no error code \"99999\"; write one of 20003, 20500`,
		`{"errors":{"20500":2}}`:              "errors.20500: 2 is no share",
		`{"errors":{"20500":0.7},"html":0.7}`: "write at most 1 in all",
		`{"html":-1}`:                         "html: -1 is no share",
		`{"errors":"20500"}`:                  "cannot unmarshal",
	} {
		if answer := put(control(), body); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%s: got HTTP %d %s, want 400 that says %s", body, answer.Code, answer.Body, want)
		}
	}
	mail := New(Provider{Name: "smtp"}, Behavior{})
	if answer := put(mail, `{"html":1}`); answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "smtp does not speak HTTP") {
		t.Errorf("html for SMTP: got HTTP %d %s", answer.Code, answer.Body)
	}
}
