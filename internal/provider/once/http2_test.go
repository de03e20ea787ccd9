package once

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/novaura/acs-operator/internal/provider"
)

// plainHTTP2 is HTTP/2 without TLS.
func plainHTTP2() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return NewClient(&http.Client{Transport: NewTransport(protocols)})
}

// frames is a server of HTTP/2 that has end do what it likes with each request
// that came whole.
func frames(t *testing.T, end func(framer *http2.Framer, stream uint32)) (base string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	base = raw(t, func(_ int, conn net.Conn, in *bufio.Reader) {
		if _, err := io.CopyN(io.Discard, in, int64(len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(conn, in)
		if framer.WriteSettings() != nil {
			return
		}
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
				requests.Add(1)
				end(framer, data.StreamID)
			}
		}
	})
	return base, requests
}

// What a server says that it did not process is no doubt; all else is.
func TestAServerOfHTTP2SaysWhatItDidNotProcess(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(framer *http2.Framer, stream uint32)
		want provider.Class
	}{
		"a goodbye before it": {func(f *http2.Framer, stream uint32) { _ = f.WriteGoAway(stream-1, http2.ErrCodeNo, nil) }, provider.Transient},
		"a goodbye with an error before it": {func(f *http2.Framer, stream uint32) {
			_ = f.WriteGoAway(stream-1, http2.ErrCodeEnhanceYourCalm, nil)
		}, provider.Transient},
		"a stream that is refused": {func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) }, provider.Transient},
		"a goodbye after it, and no answer": {func(f *http2.Framer, stream uint32) {
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			_ = f.WriteRSTStream(stream, http2.ErrCodeCancel)
		}, provider.InDoubt},
		"a stream that breaks":           {func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeInternal) }, provider.InDoubt},
		"a stream against the protocol":  {func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeProtocol) }, provider.InDoubt},
		"a connection of it that breaks": {func(f *http2.Framer, _ uint32) { _ = f.WriteRawFrame(http2.FrameSettings, 0, 1, nil) }, provider.InDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, requests := frames(t, tc.end)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base, strings.NewReader("Body=Hello"))
			if err != nil {
				t.Fatal(err)
			}
			request.GetBody = nil
			_, err = Do(plainHTTP2(), request, "test", 10)
			if err != nil && strings.Contains(err.Error(), "Request.Body") {
				t.Errorf("got %v, which says nothing to an operator", err)
			}
			if err == nil || provider.AsError(err).Class != tc.want || requests.Load() != 1 {
				t.Errorf("got %v after %d requests, want %s after one", err, requests.Load(), tc.want)
			}
		})
	}
}
