package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
	"github.com/novaura/acs-operator/internal/sandbox/behavior"
	"github.com/novaura/acs-operator/internal/sandbox/cloudwatch"
	"github.com/novaura/acs-operator/internal/sandbox/s3"
)

// Faults are what goes wrong with AWS on purpose, by "service:Action" or
// "service:*": the service as requests are signed for it, the action as IAM and
// the API reference name it. An action's own entry wins over "service:*". All
// methods may be called concurrently.
type Faults struct {
	mu      sync.Mutex
	entries map[string]Fault
}

// A Fault is what happens to the requests of an action.
type Fault struct {
	Latency time.Duration   // before the request is looked at
	Errors  behavior.Shares // answered by an error code of AWS
	NoData  bool            // GetMetricData answers without datapoints of AWS/SQS
}

// metricData is the action that NoData is for.
const metricData = "monitoring:GetMetricData"

var action = regexp.MustCompile(`^([a-z0-9-]+):([A-Za-z0-9]+|\*)$`)

// Clear ends all faults.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.entries)
}

// of returns the fault of an action.
func (f *Faults) of(service, operation string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault, found := f.entries[service+":"+operation]; found {
		return fault
	}
	return f.entries[service+":*"]
}

// strike delays a request and draws whether it fails. The context it returns
// is the one to answer with.
func (f *Faults) strike(ctx context.Context, account, service, operation string) (context.Context, error) {
	fault := f.of(service, operation)
	if fault.NoData {
		ctx = cloudwatch.WithoutData(ctx, "AWS/SQS")
	}
	if fault.Latency > 0 {
		timer := time.NewTimer(fault.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx, ctx.Err()
		}
	}
	if code := fault.Errors.Pick(rand.Float64()); code != "" { //nolint:gosec // a fault needs no secrecy
		return ctx, faultError(account, service, operation, code)
	}
	return ctx, nil
}

// faultCodes are the errors that can be asked for, with the HTTP status that
// AWS gives each in its JSON and Query protocols: "Common errors" of the API
// references, and the errors of the operations.
var faultCodes = map[string]int{
	"ThrottlingException": 400, "Throttling": 400, "RequestThrottled": 403, "TooManyRequestsException": 429, "RequestLimitExceeded": 503,
	"KmsThrottled": 400, "SlowDown": 503, "OverLimit": 403,
	"AccessDeniedException": 400, "AccessDenied": 403, "AuthorizationError": 403, "KmsAccessDenied": 400, "DecryptionFailure": 400,
	"UnrecognizedClientException": 400, "InvalidClientTokenId": 403, "InvalidSignatureException": 400, "SignatureDoesNotMatch": 403,
	"ExpiredTokenException": 400, "ExpiredToken": 400,
	"InternalFailure": 500, "InternalError": 500, "InternalServerError": 500, "InternalServiceError": 500, "InternalServiceFault": 500, "ServerException": 500,
	"ServiceUnavailable": 503, "ServiceUnavailableException": 503, "RequestTimeout": 400,
	"ClusterNotFoundException": 400, "ServiceNotFoundException": 400, "ServiceNotActiveException": 400, "ClientException": 400, "InvalidParameterException": 400,
	"QueueDoesNotExist": 400, "ParameterNotFound": 400, "ResourceNotFoundException": 400, "NoSuchKey": 404, "NoSuchBucket": 404, "NotFound": 404,
}

// restCodes are those that the REST protocols (S3, SES) give another status.
var restCodes = map[string]int{
	"ThrottlingException": 429, "AccessDeniedException": 403, "UnrecognizedClientException": 403, "InvalidSignatureException": 403,
	"ExpiredTokenException": 403, "ResourceNotFoundException": 404,
}

// faultError is the error of a code, in AWS's words where people know them.
func faultError(account, service, operation, code string) *awswire.Error {
	message, status := "The sandbox was asked to answer "+service+":"+operation+" with this error.", faultCodes[code]
	if other := restCodes[code]; other != 0 && (service == "ses" || service == "s3") {
		status = other
	}
	switch {
	case strings.HasPrefix(code, "AccessDenied"), code == "AuthorizationError":
		prefix := service
		if service == "monitoring" {
			prefix = "cloudwatch" // IAM's name of it
		}
		message = fmt.Sprintf("User: arn:aws:sts::%s:assumed-role/local/local is not authorized to perform: %s:%s because no identity-based policy allows the %[2]s:%[3]s action", account, prefix, operation)
	case strings.HasPrefix(code, "Throttling"), code == "RequestThrottled", code == "SlowDown":
		message = "Rate exceeded"
	}
	return &awswire.Error{Code: code, Message: message, Status: status}
}

// operationOf names the operation of a request, empty when it does not say.
func operationOf(w http.ResponseWriter, r *http.Request, service string) (string, error) {
	if _, operation, found := strings.Cut(r.Header.Get("X-Amz-Target"), "."); found {
		return operation, nil
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/service/"):
		return path.Base(r.URL.Path), nil
	case service == "s3":
		return s3.Operation(r), nil
	case service == "ses" && r.Method == http.MethodPost:
		return "SendEmail", nil
	case service == "ses":
		return "GetAccount", nil
	}
	return queryAction(w, r)
}

// faultJSON is a Fault on the wire; the latency is a Go duration.
type faultJSON struct {
	Latency string          `json:"latency"`
	Errors  behavior.Shares `json:"errors"`
	NoData  bool            `json:"noData"`
}

// ServeHTTP is /_sandbox/aws: GET shows all faults, DELETE ends them, PUT
// replaces the entries that the body names and leaves the others as they are.
// An entry of null or {} ends that one.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodDelete:
		f.Clear()
	case http.MethodPut:
		if err := f.put(w, r); err != nil {
			writeControl(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
	default:
		writeControl(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET shows the faults, PUT changes them, DELETE ends them"})
		return
	}
	writeControl(w, http.StatusOK, f.wire())
}

func (f *Faults) wire() map[string]faultJSON {
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := map[string]faultJSON{}
	for name, fault := range f.entries {
		shown[name] = faultJSON{fault.Latency.String(), fault.Errors, fault.NoData}
	}
	return shown
}

// put changes all entries of a body, or none.
func (f *Faults) put(w http.ResponseWriter, r *http.Request) error {
	const mostBytes = 64 << 10
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBytes))
	decoder.DisallowUnknownFields()
	var body map[string]*faultJSON
	if err := decoder.Decode(&body); err != nil {
		return err
	}
	changes, errs := map[string]Fault{}, []error{}
	for _, name := range slices.Sorted(maps.Keys(body)) {
		fault, err := body[name].fault(name)
		changes[name], errs = fault, append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(f.entries, changes)
	maps.DeleteFunc(f.entries, func(_ string, fault Fault) bool {
		return fault.Latency == 0 && len(fault.Errors) == 0 && !fault.NoData
	})
	return nil
}

// fault checks an entry; none is the zero Fault.
func (j *faultJSON) fault(name string) (Fault, error) {
	parts := action.FindStringSubmatch(name)
	if parts == nil || !slices.Contains(services, parts[1]) {
		return Fault{}, fmt.Errorf("%q names no action; write service:Action or service:*, with a service of %s", name, strings.Join(services, ", "))
	}
	if j == nil {
		return Fault{}, nil
	}
	latency, err := behavior.ParseWait("latency", j.Latency)
	if err != nil {
		return Fault{}, fmt.Errorf("%s: %w", name, err)
	}
	if err := j.Errors.Check(behavior.Provider{Name: "AWS", Codes: slices.Collect(maps.Keys(faultCodes))}); err != nil {
		return Fault{}, fmt.Errorf("%s: %w", name, err)
	}
	if j.NoData && name != metricData {
		return Fault{}, fmt.Errorf("%s: noData is for %s only", name, metricData)
	}
	return Fault{latency, j.Errors, j.NoData}, nil
}

func writeControl(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) //nolint:errchkjson // plain structs encode; a client that has gone cannot be told
}
