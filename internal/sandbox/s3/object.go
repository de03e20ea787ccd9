package s3

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

func (s *Server) serveObject(w http.ResponseWriter, r *http.Request, name, key string) error {
	query := r.URL.Query()
	if slices.ContainsFunc([]string{"uploads", "uploadId", "acl", "tagging", "retention", "legal-hold", "attributes", "restore", "torrent"}, query.Has) {
		return notServed(r)
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return s.getObject(w, r, name, key)
	case http.MethodPut:
		if source := r.Header.Get("X-Amz-Copy-Source"); source != "" {
			return s.copyObject(w, r, name, key, source)
		}
		return s.putObject(w, r, name, key)
	case http.MethodDelete:
		return s.deleteObject(w, r, name, key)
	}
	return notServed(r)
}

// kept are the headers of an upload that come back with the object.
var kept = []string{"Content-Type", "Content-Encoding", "Content-Disposition", "Content-Language", "Cache-Control", "Expires"}

func (s *Server) putObject(w http.ResponseWriter, r *http.Request, name, key string) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	made := &object{body: body, etag: etagOf(body), headers: keptHeaders(r.Header)}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noBucket()
	}
	if err := b.permits(key, r.Header); err != nil {
		return err
	}
	b.put(key, made)
	w.Header().Set("ETag", made.etag)
	b.tellVersion(w, made)
	tellChecksums(w, made)
	w.WriteHeader(http.StatusOK)
	return nil
}

func keptHeaders(given http.Header) http.Header {
	headers := http.Header{}
	for name, values := range given {
		lower := strings.ToLower(name)
		checksum := strings.HasPrefix(lower, "x-amz-checksum-") && lower != "x-amz-checksum-mode"
		if slices.Contains(kept, name) || strings.HasPrefix(lower, "x-amz-meta-") || checksum {
			headers[name] = values
		}
	}
	if encoding := strings.TrimPrefix(strings.TrimPrefix(headers.Get("Content-Encoding"), "aws-chunked"), ","); encoding == "" {
		headers.Del("Content-Encoding")
	} else {
		headers.Set("Content-Encoding", encoding)
	}
	if headers.Get("Content-Type") == "" {
		headers.Set("Content-Type", "binary/octet-stream")
	}
	return headers
}

func tellChecksums(w http.ResponseWriter, o *object) {
	for name, values := range o.headers {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			w.Header()[name] = values
		}
	}
}

// permits holds a conditional write to its condition.
func (b *bucket) permits(key string, header http.Header) error {
	now := b.latest(key)
	match, none := header.Get("If-Match"), header.Get("If-None-Match")
	switch {
	case match != "" && now == nil:
		return noKey()
	case match != "" && match != now.etag && match != "*", none == "*" && now != nil:
		return refusal(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	case none != "" && none != "*":
		return refusal(http.StatusNotImplemented, "NotImplemented", "If-None-Match of a write takes * only")
	}
	return nil
}

func noKey() error {
	return refusal(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
}

// put adds a version, or replaces the one that there is.
func (b *bucket) put(key string, o *object) {
	o.modified, o.version = time.Now(), "null"
	versions := b.objects[key]
	if b.versioning == "Enabled" {
		o.version = strings.ReplaceAll(awswire.UUID(), "-", "")
	} else {
		versions = slices.DeleteFunc(versions, func(old *object) bool { return old.version == "null" })
	}
	b.objects[key] = append(versions, o)
}

// latest is the object as it is now, nil when there is none.
func (b *bucket) latest(key string) *object {
	versions := b.objects[key]
	if len(versions) == 0 || versions[len(versions)-1].marker {
		return nil
	}
	return versions[len(versions)-1]
}

func (b *bucket) tellVersion(w http.ResponseWriter, o *object) {
	if b.versioning != "" {
		w.Header().Set("X-Amz-Version-Id", o.version)
	}
}

func (b *bucket) find(key, version string) (*object, error) {
	if version == "" {
		if found := b.latest(key); found != nil {
			return found, nil
		}
		return nil, noKey()
	}
	for _, o := range b.objects[key] {
		switch {
		case o.version != version:
		case o.marker:
			return nil, refusal(http.StatusMethodNotAllowed, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		default:
			return o, nil
		}
	}
	return nil, refusal(http.StatusNotFound, "NoSuchVersion", "The specified version does not exist.")
}

// getObject answers GET and HEAD; conditions and ranges are those of HTTP.
func (s *Server) getObject(w http.ResponseWriter, r *http.Request, name, key string) error {
	s.mu.Lock()
	b := s.buckets[name]
	if b == nil {
		s.mu.Unlock()
		return noBucket()
	}
	found, err := b.find(key, r.URL.Query().Get("versionId"))
	if err == nil {
		b.tellVersion(w, found)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for header, values := range found.headers {
		if !strings.HasPrefix(header, "X-Amz-Checksum-") || r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" && r.Header.Get("Range") == "" {
			w.Header()[header] = values
		}
	}
	w.Header().Set("ETag", found.etag)
	if match := r.Header.Get("If-Match"); match != "" && match != "*" && match != found.etag {
		return refusal(http.StatusPreconditionFailed, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	http.ServeContent(whole{w}, r, "", found.modified, bytes.NewReader(found.body))
	return nil
}

// whole leaves checksums out of an answer that is not the whole object, as S3
// does: clients check them against the body.
type whole struct{ http.ResponseWriter }

func (w whole) WriteHeader(status int) {
	if status != http.StatusOK {
		for name := range w.Header() {
			if strings.HasPrefix(name, "X-Amz-Checksum-") {
				w.Header().Del(name)
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

type copyShape struct {
	XMLName      xml.Name `xml:"CopyObjectResult"`
	ETag         string
	LastModified string
}

func (s *Server) copyObject(w http.ResponseWriter, r *http.Request, name, key, source string) error {
	plain, err := url.PathUnescape(source)
	if err != nil {
		return refusal(http.StatusBadRequest, "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	path, version, _ := strings.Cut(plain, "?versionId=")
	fromBucket, fromKey, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := s.buckets[fromBucket], s.buckets[name]
	if from == nil || to == nil {
		return noBucket()
	}
	found, err := from.find(fromKey, version)
	if err != nil {
		return err
	}
	made := &object{body: found.body, etag: found.etag, headers: found.headers}
	if r.Header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		made.headers = keptHeaders(r.Header)
	}
	to.put(key, made)
	to.tellVersion(w, made)
	writeXML(w, r, http.StatusOK, copyShape{ETag: made.etag, LastModified: stamp(made.modified)})
	return nil
}

func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request, name, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noBucket()
	}
	if marker := b.delete(key, r.URL.Query().Get("versionId")); marker != nil {
		w.Header().Set("X-Amz-Delete-Marker", "true")
		w.Header().Set("X-Amz-Version-Id", marker.version)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// delete takes a version away, or puts a marker where versions are kept.
func (b *bucket) delete(key, version string) (marker *object) {
	switch {
	case version != "":
		b.objects[key] = slices.DeleteFunc(b.objects[key], func(o *object) bool { return o.version == version })
	case b.versioning != "":
		marker = &object{marker: true}
		b.put(key, marker)
	default:
		b.objects[key] = nil
	}
	if len(b.objects[key]) == 0 {
		delete(b.objects, key)
	}
	return marker
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
