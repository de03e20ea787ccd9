package secret

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"

// manager answers GetSecretValue as Secrets Manager does over the wire.
type manager struct {
	mu    sync.Mutex
	value string // empty: it refuses
	calls int
}

func (m *manager) set(value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.value = value
}

func (m *manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || !strings.Contains(string(body), `"`+arn+`"`) || m.value == "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","message":"no"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"ARN": arn, "SecretString": m.value})
}

func newSecret(t *testing.T, m *manager) (*Secret, *time.Time) {
	t.Helper()
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	s, err := New(aws.Config{BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}, arn)
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return clock }
	return s, &clock
}

func TestASecretIsReadOnceAndAgainWhenItWasRefused(t *testing.T) {
	t.Parallel()
	m := &manager{}
	s, clock := newSecret(t, m)
	if _, err := s.Get(t.Context()); err == nil || !strings.Contains(err.Error(), arn) {
		t.Fatalf("a secret that is not there: %v", err)
	}
	m.set("one")
	want := func(value string, calls int, when string) {
		t.Helper()
		got, err := s.Get(context.Background())
		if err != nil || string(got) != value || m.calls != calls {
			t.Errorf("%s: got %q after %d calls, %v; want %q after %d", when, string(got), m.calls, err, value, calls)
		}
	}
	want("one", 2, "at first")
	m.set("two")
	*clock = clock.Add(time.Hour)
	want("one", 2, "nobody refused it")
	s.Refused()
	want("two", 3, "refused")
	m.set("three")
	s.Refused()
	want("two", 3, "refused again at once")
	*clock = clock.Add(restBetween)
	m.set("")
	want("two", 4, "it cannot be read again")
	m.set("three")
	*clock = clock.Add(restBetween)
	want("three", 5, "it can again")
}

func TestAValueIsPlainTextOrAnObject(t *testing.T) {
	t.Parallel()
	for value, want := range map[Value]string{
		"hunter2\n":                       "hunter2",
		`{"password":"hunter2","x":1}`:    "hunter2",
		`{"DB_PASSWORD":"hunter2"}`:       "hunter2",
		`{"username":"u","host":"h"}`:     "",
		`"quoted"`:                        `"quoted"`,
		`{"password":{"not":"a string"}}`: "",
	} {
		if got := value.Field("password", "db_").Reveal(); got != want {
			t.Errorf("%s: got %q, want %q", string(value), got, want)
		}
	}
}

func TestASecretWithoutARegionIsSaid(t *testing.T) {
	t.Parallel()
	if _, err := New(aws.Config{}, "db"); err == nil || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("got %v", err)
	}
}

func TestAReferenceOfECSNamesAKeyOfTheSecret(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		behind, held string
		want         Value // empty: an error that names the key
	}{
		"a key":                   {behind: ":other::", held: `{"password":"a","other":"b"}`, want: "b"},
		"a key and a stage":       {behind: ":other:AWSCURRENT:", held: `{"other":"b"}`, want: "b"},
		"no key":                  {behind: ":::", held: `{"other":"b"}`, want: `{"other":"b"}`},
		"a key that is not there": {behind: ":other::", held: `{"password":"a"}`},
		"a key of plain text":     {behind: ":other::", held: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(&manager{value: tc.held})
			t.Cleanup(server.Close)
			s, err := New(aws.Config{BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}, arn+tc.behind)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Get(t.Context())
			if got != tc.want || (err != nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), `"other"`) {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
