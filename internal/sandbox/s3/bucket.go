package s3

import (
	"encoding/base64"
	"encoding/xml"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func (s *Server) serveBucket(w http.ResponseWriter, r *http.Request, name string) error {
	query := r.URL.Query()
	versioning := query.Has("versioning")
	switch {
	case r.Method == http.MethodPost && query.Has("delete"):
		return s.deleteObjects(w, r, name)
	case r.Method == http.MethodPut && versioning:
		return s.setVersioning(w, r, name)
	case r.Method == http.MethodPut:
		return s.createBucket(w, name, query)
	case r.Method == http.MethodDelete && len(query) <= 1:
		return s.deleteBucket(w, name)
	case r.Method == http.MethodHead, r.Method == http.MethodGet:
	default:
		return notServed(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	switch {
	case b == nil:
		return noBucket()
	case r.Method == http.MethodHead:
		w.Header().Set("X-Amz-Bucket-Region", s.region)
		w.WriteHeader(http.StatusOK)
	case versioning:
		writeXML(w, r, http.StatusOK, versioningShape{Namespace: namespace, Status: b.versioning})
	case query.Has("location"):
		region := s.region
		if region == "us-east-1" {
			region = "" // as in AWS
		}
		writeXML(w, r, http.StatusOK, locationShape{Namespace: namespace, Region: region})
	case query.Get("list-type") == "2":
		return b.list(w, r)
	default:
		return notServed(r)
	}
	return nil
}

type versioningShape struct {
	XMLName   xml.Name `xml:"VersioningConfiguration"`
	Namespace string   `xml:"xmlns,attr"`
	Status    string   `xml:",omitempty"`
}

type locationShape struct {
	XMLName   xml.Name `xml:"LocationConstraint"`
	Namespace string   `xml:"xmlns,attr"`
	Region    string   `xml:",chardata"`
}

func (s *Server) createBucket(w http.ResponseWriter, name string, query url.Values) error {
	for sub := range query {
		if sub != "x-id" {
			return refusal(http.StatusNotImplemented, "NotImplemented", "of buckets' settings the sandbox serves versioning only, not "+sub)
		}
	}
	if !bucketName.MatchString(name) {
		return refusal(http.StatusBadRequest, "InvalidBucketName", "The specified bucket is not valid.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] == nil {
		s.buckets[name] = &bucket{name: name, created: time.Now(), objects: map[string][]*object{}}
	} else if s.region != "us-east-1" { // there it succeeds again, see CreateBucket
		return refusal(http.StatusConflict, "BucketAlreadyOwnedByYou", "Your previous request to create the named bucket succeeded and you already own it.")
	}
	w.Header().Set("Location", "/"+name)
	w.WriteHeader(http.StatusOK)
	return nil
}

func (s *Server) deleteBucket(w http.ResponseWriter, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noBucket()
	}
	if len(b.objects) > 0 {
		return refusal(http.StatusConflict, "BucketNotEmpty", "The bucket you tried to delete is not empty")
	}
	delete(s.buckets, name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) setVersioning(w http.ResponseWriter, r *http.Request, name string) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	var given struct{ Status string }
	if err := xml.Unmarshal(body, &given); err != nil || given.Status != "Enabled" && given.Status != "Suspended" {
		return refusal(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noBucket()
	}
	b.versioning = given.Status
	w.WriteHeader(http.StatusOK)
	return nil
}

type bucketShape struct{ Name, CreationDate string }

type bucketsShape struct {
	XMLName   xml.Name      `xml:"ListAllMyBucketsResult"`
	Namespace string        `xml:"xmlns,attr"`
	Buckets   []bucketShape `xml:"Buckets>Bucket"`
}

func (s *Server) listBuckets(w http.ResponseWriter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	shape := bucketsShape{Namespace: namespace}
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		shape.Buckets = append(shape.Buckets, bucketShape{name, stamp(s.buckets[name].created)})
	}
	writeXML(w, &http.Request{}, http.StatusOK, shape)
	return nil
}

type entryShape struct {
	Key, LastModified, ETag string
	Size                    int
	StorageClass            string
}

type prefixShape struct{ Prefix string }

type listShape struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Namespace             string   `xml:"xmlns,attr"`
	Name, Prefix          string
	Delimiter             string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	StartAfter            string `xml:",omitempty"`
	KeyCount, MaxKeys     int
	IsTruncated           bool
	ContinuationToken     string        `xml:",omitempty"`
	NextContinuationToken string        `xml:",omitempty"`
	Contents              []entryShape  `xml:"Contents"`
	CommonPrefixes        []prefixShape `xml:"CommonPrefixes"`
}

// list is ListObjectsV2; the token is the last key, or common prefix, given.
func (b *bucket) list(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	most := 1000
	if text := query.Get("max-keys"); text != "" {
		given, err := strconv.Atoi(text)
		if err != nil || given < 0 {
			return refusal(http.StatusBadRequest, "InvalidArgument", "Provided max-keys not an integer or within integer range")
		}
		most = min(most, given)
	}
	token := query.Get("continuation-token")
	last, err := base64.URLEncoding.DecodeString(token)
	if err != nil {
		return refusal(http.StatusBadRequest, "InvalidArgument", "The continuation token provided is incorrect")
	}
	shape := listShape{
		Namespace: namespace, Name: b.name, Prefix: query.Get("prefix"), Delimiter: query.Get("delimiter"), MaxKeys: most,
		StartAfter: query.Get("start-after"), ContinuationToken: token, EncodingType: query.Get("encoding-type"),
	}
	after := max(string(last), shape.StartAfter)
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, shape.Prefix) || b.latest(key) == nil {
			continue
		}
		entry, isPrefix := key, false
		if at := strings.Index(key[len(shape.Prefix):], shape.Delimiter); shape.Delimiter != "" && at >= 0 {
			entry, isPrefix = key[:len(shape.Prefix)+at+len(shape.Delimiter)], true
		}
		if entry <= after {
			continue
		}
		if shape.KeyCount == most {
			shape.IsTruncated, shape.NextContinuationToken = most > 0, base64.URLEncoding.EncodeToString([]byte(after))
			break
		}
		after = entry
		shape.KeyCount++
		if isPrefix {
			shape.CommonPrefixes = append(shape.CommonPrefixes, prefixShape{shape.encode(entry)})
			continue
		}
		o := b.latest(key)
		shape.Contents = append(shape.Contents, entryShape{shape.encode(key), stamp(o.modified), o.etag, len(o.body), "STANDARD"})
	}
	shape.Prefix, shape.Delimiter = shape.encode(shape.Prefix), shape.encode(shape.Delimiter)
	writeXML(w, r, http.StatusOK, shape)
	return nil
}

// encode spells a key as the caller asked: XML can't hold every key.
func (l listShape) encode(key string) string {
	if l.EncodingType != "url" {
		return key
	}
	return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
}

type deleteShape struct {
	Quiet  bool
	Object []struct{ Key, VersionId string }
}

type deletedShape struct {
	XMLName   xml.Name      `xml:"DeleteResult"`
	Namespace string        `xml:"xmlns,attr"`
	Deleted   []deletedKeys `xml:"Deleted"`
}

type deletedKeys struct {
	Key       string
	VersionID string `xml:"VersionId,omitempty"`
}

func (s *Server) deleteObjects(w http.ResponseWriter, r *http.Request, name string) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2<<20))
	var given deleteShape
	if err != nil || xml.Unmarshal(body, &given) != nil || len(given.Object) == 0 || len(given.Object) > 1000 {
		return refusal(http.StatusBadRequest, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return noBucket()
	}
	out := deletedShape{Namespace: namespace}
	for _, o := range given.Object {
		b.delete(o.Key, o.VersionId)
		if !given.Quiet {
			out.Deleted = append(out.Deleted, deletedKeys{o.Key, o.VersionId})
		}
	}
	writeXML(w, r, http.StatusOK, out)
	return nil
}
