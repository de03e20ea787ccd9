package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/mail"
	"net/url"
	"strings"
	"sync"

	"github.com/novaura/acs-operator/internal/check/harness"
	"github.com/novaura/acs-operator/internal/iam"
	"github.com/novaura/acs-operator/internal/sandbox/ses"
)

// A call is what a principal asked of AWS, in IAM's terms.
type call struct {
	Principal, Action, Resource string
}

// recorder hands every request on and notes it.
type recorder struct {
	proxy *httputil.ReverseProxy
	mails http.Handler // SES, which the sandbox's door does not serve alone

	mu    sync.Mutex
	calls map[call]int
	errs  []error // requests that could not be read
}

func newRecorder(endpoint string) (*recorder, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	return &recorder{
		mails: ses.New(ses.Options{Account: harness.Account, Region: harness.Region}),
		proxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }},
		calls: map[call]int{},
	}, nil
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	calls, err := callsOf(request, body)
	r.mu.Lock()
	if err != nil {
		r.errs = append(r.errs, err)
	}
	for _, c := range calls {
		r.calls[c]++
	}
	r.mu.Unlock()
	if strings.HasPrefix(request.URL.Path, "/v2/email/") {
		r.mails.ServeHTTP(w, request)
		return
	}
	r.proxy.ServeHTTP(w, request)
}

// made says whether a call was recorded.
func (r *recorder) made(principal, action string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.calls {
		if c.Principal == principal && c.Action == action {
			return true
		}
	}
	return false
}

var errUnsigned = errors.New("it is not signed")

// callsOf reads who asks (the access key), the service (the signature's
// scope), the action and its resources. A request that touches two resources
// is two calls: IAM asks for each.
func callsOf(r *http.Request, body []byte) ([]call, error) {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	scope := strings.Split(credential, "/") // key/date/region/service/aws4_request,…
	if len(scope) < 5 {
		return nil, fmt.Errorf("read %s %s: %w", r.Method, r.URL.Path, errUnsigned)
	}
	principal, service := scope[0], scope[3]
	operation := operationOf(r)
	read, known := services[service]
	if !known {
		return nil, fmt.Errorf("read %s %s %s: the recorder does not know the service %s", r.Method, r.URL.Path, operation, service)
	}
	action, resources, err := read(r, operation, body)
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", service, operation, err)
	}
	calls := make([]call, len(resources))
	for i, resource := range resources {
		calls[i] = call{principal, action, resource}
	}
	return calls, nil
}

// operationOf is the operation's name in the JSON, CBOR and Query protocols.
func operationOf(r *http.Request) string {
	if _, operation, found := strings.Cut(r.Header.Get("X-Amz-Target"), "."); found {
		return operation
	}
	if _, operation, found := strings.Cut(r.URL.Path, "/operation/"); found {
		return operation
	}
	return r.URL.Query().Get("Action")
}

// services read a request, by the name that it is signed for.
var services = map[string]func(r *http.Request, operation string, body []byte) (action string, resources []string, err error){
	"sqs": func(_ *http.Request, operation string, body []byte) (string, []string, error) {
		in, err := fields(body)
		name := in["QueueName"]
		if name == "" {
			name = in["QueueUrl"][strings.LastIndexByte(in["QueueUrl"], '/')+1:]
		}
		return "sqs:" + strings.TrimSuffix(operation, "Batch"), []string{arn("sqs", name)}, err // a batch is the action of one
	},
	"ecs": func(_ *http.Request, operation string, body []byte) (string, []string, error) {
		var in struct {
			Cluster, Service string
			Services, Tasks  []string
		}
		err := json.Unmarshal(body, &in)
		if operation == "ListTasks" { // IAM knows the cluster as a condition, and no task
			return "ecs:ListTasks", []string{arn("ecs", "container-instance/"+in.Cluster+"/*")}, err
		}
		if in.Service != "" {
			in.Services = []string{in.Service}
		}
		var resources []string
		for _, service := range in.Services {
			resources = append(resources, arn("ecs", "service/"+in.Cluster+"/"+service))
		}
		for _, task := range in.Tasks {
			resources = append(resources, arn("ecs", "task/"+in.Cluster+"/"+task[strings.LastIndexByte(task, '/')+1:]))
		}
		if len(resources) == 0 {
			err = errors.Join(err, errors.New("it names no service and no task"))
		}
		return "ecs:" + operation, resources, err
	},
	"monitoring": func(_ *http.Request, operation string, _ []byte) (string, []string, error) {
		return "cloudwatch:" + operation, []string{"*"}, nil
	},
	"application-autoscaling": func(_ *http.Request, operation string, _ []byte) (string, []string, error) {
		return "application-autoscaling:" + operation, []string{"*"}, nil
	},
	"ssm": func(_ *http.Request, operation string, body []byte) (string, []string, error) {
		in, err := fields(body)
		return "ssm:" + operation, []string{arn("ssm", "parameter/"+strings.TrimPrefix(in["Name"], "/"))}, err
	},
	"secretsmanager": func(_ *http.Request, operation string, body []byte) (string, []string, error) {
		in, err := fields(body)
		return "secretsmanager:" + operation, []string{in["SecretId"]}, err
	},
	"sns": func(_ *http.Request, _ string, body []byte) (string, []string, error) {
		form, err := url.ParseQuery(string(body))
		return "sns:" + form.Get("Action"), []string{form.Get("TopicArn")}, err
	},
	"ses": mailed,
	"s3": func(r *http.Request, _ string, _ []byte) (string, []string, error) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return "", nil, fmt.Errorf("the recorder does not know S3's %s", r.Method)
		}
		return "s3:GetObject", []string{"arn:aws:s3:::" + strings.TrimPrefix(r.URL.Path, "/")}, nil
	},
}

// mailed reads SendEmail: IAM asks for the sender's identity and for the
// configuration set, and calls it SendRawEmail where the mail comes as MIME
// (https://github.com/nodemailer/nodemailer/issues/1734 shows both).
func mailed(r *http.Request, _ string, body []byte) (string, []string, error) {
	var in struct {
		FromEmailAddress, ConfigurationSetName string
		Content                                struct{ Raw *struct{} }
	}
	if r.URL.Path != "/v2/email/outbound-emails" {
		return "", nil, fmt.Errorf("the recorder does not know SES's %s %s", r.Method, r.URL.Path)
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return "", nil, err
	}
	from, err := mail.ParseAddress(in.FromEmailAddress)
	if err != nil {
		return "", nil, err
	}
	resources := []string{arn("ses", "identity/"+from.Address[strings.LastIndexByte(from.Address, '@')+1:])}
	if in.ConfigurationSetName != "" {
		resources = append(resources, arn("ses", "configuration-set/"+in.ConfigurationSetName))
	}
	if in.Content.Raw != nil {
		return "ses:SendRawEmail", resources, nil
	}
	return "ses:SendEmail", resources, nil
}

// fields are the top fields of a JSON request that are text.
func fields(body []byte) (map[string]string, error) {
	var raw map[string]any
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, err
	}
	in := map[string]string{}
	for name, value := range raw {
		if text, ok := value.(string); ok {
			in[name] = text
		}
	}
	return in, nil
}

func arn(service, resource string) string {
	return "arn:aws:" + service + ":" + harness.Region + ":" + harness.Account + ":" + resource
}

// request is the call with the condition keys that AWS sets for it.
func (c call) request() iam.Request {
	context := map[string]string{"aws:SecureTransport": "true", "aws:PrincipalAccount": harness.Account}
	for _, kind := range []string{"service/", "task/", "container-instance/"} {
		if rest, found := strings.CutPrefix(c.Resource, arn("ecs", kind)); found {
			cluster, _, _ := strings.Cut(rest, "/")
			context["ecs:cluster"] = arn("ecs", "cluster/"+cluster)
		}
	}
	return iam.Request{Action: c.Action, Resource: c.Resource, Context: context}
}
