package once

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
)

// raw is a server that reads requests and does with each connection what it likes.
func raw(t *testing.T, serve func(n int, conn net.Conn, in *bufio.Reader)) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(n, conn, bufio.NewReader(conn))
			}()
		}
	}()
	return "http://" + listener.Addr().String() + "/?To=%2B14155550123"
}

func post(t *testing.T, client *http.Client, base string, limit int64) (Answer, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, strings.NewReader("Body=Hello"))
	if err != nil {
		t.Fatal(err)
	}
	return Do(client, request, "test", limit)
}

const answer = "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"

// A connection that waits is closed by its server at the very moment at which the
// next request is written on it: it may have been read. It is not repeated, though
// a new connection would work.
func TestARequestOnAConnectionThatDiesIsNotRepeated(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	base := raw(t, func(n int, conn net.Conn, in *bufio.Reader) {
		for i := 0; ; i++ {
			request, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			requests.Add(1)
			if n == 0 && i == 1 {
				return // it was read, and there is no answer
			}
			_, _ = io.WriteString(conn, answer)
		}
	})
	client := NewClient(nil)
	if got, err := post(t, client, base, 10); err != nil || got.Status != 201 || string(got.Body) != "ok" {
		t.Fatalf("got %+v, %v", got, err)
	}
	_, err := post(t, client, base, 10)
	if class := provider.AsError(err).Class; class != provider.InDoubt || requests.Load() != 2 {
		t.Errorf("got %v after %d requests, want it in doubt after two", err, requests.Load())
	}
	if got, err := post(t, client, base, 10); err != nil || got.Status != 201 {
		t.Errorf("the next: %+v, %v", got, err)
	}
}

func TestHowFarARequestCameDecides(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		serve func(int, net.Conn, *bufio.Reader)
		want  provider.Class
	}{
		"reset in the middle of the status line": {func(_ int, conn net.Conn, in *bufio.Reader) {
			_, _ = http.ReadRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 20")
		}, provider.InDoubt},
		"an answer that is no HTTP": {func(_ int, conn net.Conn, in *bufio.Reader) {
			_, _ = http.ReadRequest(in)
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH\r\n\r\n")
		}, provider.InDoubt},
		"an answer before the request was read": {func(_ int, conn net.Conn, _ *bufio.Reader) {
			_, _ = io.WriteString(conn, "garbage\r\n")
		}, provider.InDoubt},
		"headers that never end": {func(_ int, conn net.Conn, in *bufio.Reader) {
			_, _ = http.ReadRequest(in)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			for range 3000 {
				if _, err := io.WriteString(conn, "X-A: "+strings.Repeat("a", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := post(t, NewClient(nil), raw(t, tc.serve), 10)
			if class := provider.AsError(err).Class; class != tc.want || strings.Contains(err.Error(), "4155550123") {
				t.Errorf("got %v, want %s and no word of a person", err, tc.want)
			}
		})
	}
	for name, base := range map[string]string{"nobody listens": "http://127.0.0.1:1/", "a name that is none": "http://nowhere.invalid/", "no TLS there": strings.Replace(raw(t, func(_ int, conn net.Conn, _ *bufio.Reader) {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}), "http:", "https:", 1)} {
		_, err := post(t, NewClient(nil), base, 10)
		if class := provider.AsError(err).Class; class != provider.Transient {
			t.Errorf("%s: got %v, want it transient: nothing was sent", name, err)
		}
	}
}

func TestAnAnswerIsReadNoFurtherThanItShouldBeAndSaysWhereItBroke(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cut" {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, strings.Repeat("x", 1000))
	}))
	t.Cleanup(server.Close)
	if got, err := post(t, NewClient(nil), server.URL, 10); err != nil || got.Status != 307 || len(got.Body) != 10 || got.Broken != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := post(t, NewClient(nil), server.URL+"/cut", 10); err != nil || got.Status != 200 || got.Broken == nil || string(got.Body) != "half" {
		t.Errorf("cut: got %+v, %v", got, err)
	}
}

func TestRetryAfterIsSecondsOrADateAndNeverMoreThanADay(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "0.5": 500 * time.Millisecond, "-1": 0, "soon": 0, "1e300": 24 * time.Hour, "NaN": 0,
		"Mon, 05 Jan 2026 08:01:00 GMT": time.Minute, "Mon, 05 Jan 2026 07:00:00 GMT": 0, "Mon, 05 Jan 2126 08:00:00 GMT": 24 * time.Hour,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestErrorsOfLibrariesTellNoURL(t *testing.T) {
	t.Parallel()
	_, err := http.Get("http://127.0.0.1:1/?To=%2B14155550123") //nolint:noctx // it fails
	if got := WithoutURL(err); strings.Contains(got.Error(), "4155550123") || errors.Is(got, nil) {
		t.Errorf("got %v", got)
	}
}

func TestABaseURLIsOneAndAMistakeNamesItsVariable(t *testing.T) {
	const standard = "https://api.example.com"
	for text, want := range map[string]string{
		"":                         standard,
		"http://127.0.0.1:4566/":   "http://127.0.0.1:4566",
		"https://proxy.example/v1": "https://proxy.example/v1",
		"ftp://files.example":      "",
		"api.example.com":          "",
		"https://":                 "",
		"https://a b":              "",
	} {
		base, err := Base("carrier", "CARRIER_BASE_URL", text, standard)
		switch {
		case want == "" && (err == nil || err.Error() != "carrier: the base URL is not one: set CARRIER_BASE_URL to an http or https URL"):
			t.Errorf("%q: got %v, %v", text, base, err)
		case want != "" && (err != nil || base.String() != want):
			t.Errorf("%q: got %v, %v; want %s", text, base, err, want)
		}
	}
}
