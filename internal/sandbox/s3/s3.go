// Package s3 stands in for Amazon S3 as far as settings and attachments need
// it: buckets and objects in memory, ETags and conditions, ranges, listing,
// and versions, by path or by host. Bodies are at most 64 MiB; multipart
// uploads are refused.
package s3

import (
	"bufio"
	"crypto/md5" //nolint:gosec // the checksum that an ETag is.
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

const (
	namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	maxObject = 64 << 20
)

// Server is the stand-in, an http.Handler that is safe for concurrent use.
type Server struct {
	region string

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	name       string
	created    time.Time
	versioning string               // "", Enabled or Suspended
	objects    map[string][]*object // by key, oldest first
}

// An object is one version of one key. Its body is never changed.
type object struct {
	version  string // "null" where the bucket keeps no versions
	marker   bool   // a delete marker
	body     []byte
	etag     string
	modified time.Time
	headers  http.Header // Content-Type, x-amz-meta-…, checksums: as they were given
}

// New returns a Server without buckets.
func New(region string) *Server { return &Server{region: region, buckets: map[string]*bucket{}} }

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, key := locate(r)
	var err error
	switch {
	case name == "" && r.Method == http.MethodGet:
		err = s.listBuckets(w)
	case name == "":
		err = notServed(r)
	case key == "":
		err = s.serveBucket(w, r, name)
	default:
		err = s.serveObject(w, r, name, key)
	}
	if err != nil {
		refuse(w, r, err)
	}
}

// locate reads bucket and key from the path, or the bucket from the host:
// bucket.localhost, bucket.s3.….
func locate(r *http.Request) (bucket, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	host := r.Host
	if bare, _, err := net.SplitHostPort(host); err == nil {
		host = bare
	}
	for _, mark := range []string{".s3.", ".s3-", ".localhost"} {
		if at := strings.Index(host, mark); at > 0 {
			return host[:at], path
		}
	}
	bucket, key, _ = strings.Cut(path, "/")
	return bucket, key
}

func refusal(status int, code, message string) error {
	return &awswire.Error{Code: code, Message: message, Status: status}
}

func noBucket() error {
	return refusal(http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist")
}

func notServed(r *http.Request) error {
	return refusal(http.StatusNotImplemented, "NotImplemented", fmt.Sprintf("of S3 the sandbox does not serve %s %s?%s", r.Method, r.URL.Path, r.URL.RawQuery))
}

type errorShape struct {
	XMLName  xml.Name `xml:"Error"`
	Code     string
	Message  string
	Resource string
}

// Operation names what a request asks of S3, as IAM and the API reference do.
func Operation(r *http.Request) string {
	bucket, key := locate(r)
	switch {
	case bucket == "":
		return "ListBuckets"
	case key == "":
		return map[string]string{
			http.MethodGet: "ListObjectsV2", http.MethodHead: "HeadBucket", http.MethodPut: "CreateBucket", http.MethodDelete: "DeleteBucket",
		}[r.Method]
	default:
		return map[string]string{
			http.MethodGet: "GetObject", http.MethodHead: "HeadObject", http.MethodPut: "PutObject", http.MethodDelete: "DeleteObject",
		}[r.Method]
	}
}

// Refuse answers a request with err.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { refuse(w, r, err) }

func refuse(w http.ResponseWriter, r *http.Request, err error) {
	typed := awswire.AsError(err)
	writeXML(w, r, typed.HTTPStatus(), errorShape{Code: typed.Code, Message: typed.Message, Resource: r.URL.Path})
}

func writeXML(w http.ResponseWriter, r *http.Request, status int, body any) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(body)
}

// readBody reads an upload, also one that is sent in signed chunks
// (Content-Encoding: aws-chunked), whose signatures are not checked.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(w, r.Body, maxObject)
	body, err := io.ReadAll(limited)
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") && err == nil {
		body, err = unchunk(body, r.Header)
	}
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, refusal(http.StatusBadRequest, "EntityTooLarge", "Your proposed upload exceeds the sandbox's maximum of 64 MiB")
	}
	if err != nil {
		return nil, refusal(http.StatusBadRequest, "IncompleteBody", err.Error())
	}
	return body, nil
}

// unchunk reads "size;chunk-signature=…\r\n data \r\n" until size is 0, and
// the trailing headers behind it.
func unchunk(raw []byte, headers http.Header) ([]byte, error) {
	in := bufio.NewReader(strings.NewReader(string(raw)))
	var body []byte
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		text, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		size, err := strconv.ParseInt(text, 16, 32)
		if err != nil || size < 0 || size > int64(len(raw)) {
			return nil, fmt.Errorf("chunk of %q bytes", text)
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, err
		}
		body = append(body, chunk[:size]...)
	}
	for {
		line, err := in.ReadString('\n')
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			headers.Set(name, strings.TrimSpace(value))
		}
		if err != nil {
			return body, nil //nolint:nilerr // the end of the trailers.
		}
	}
}

func etagOf(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // as above.
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
