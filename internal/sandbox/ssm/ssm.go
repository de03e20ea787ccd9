// Package ssm stands in for the Parameter Store of AWS Systems Manager:
// parameters with versions, by name, ARN, name:version, or path.
package ssm

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

const (
	standardLimit = 4096 // bytes of a value, see "Managing parameter tiers"
	advancedLimit = 8192
	keptVersions  = 100 // of a parameter
	pathPage      = 10  // the most and the default of GetParametersByPath
)

// Server is the stand-in, an http.Handler that is safe for concurrent use.
type Server struct {
	account, region string
	ops             map[string]awswire.Op

	mu         sync.Mutex
	parameters map[string][]version // by name, oldest first
}

type version struct {
	number   int
	kind     string // String, StringList, SecureString
	value    string
	modified time.Time
}

// New returns a Server without parameters.
func New(account, region string) *Server {
	s := &Server{account: account, region: region, parameters: map[string][]version{}}
	s.ops = map[string]awswire.Op{
		"PutParameter":        awswire.JSON(s.put),
		"GetParameter":        awswire.JSON(s.get),
		"GetParameters":       awswire.JSON(s.getSeveral),
		"GetParametersByPath": awswire.JSON(s.getByPath),
		"DeleteParameter":     awswire.JSON(s.delete),
		"DeleteParameters":    awswire.JSON(s.deleteSeveral),
	}
	return s
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { awswire.ServeJSON(w, r, s.ops) }

func notFound() error {
	return &awswire.Error{Code: "ParameterNotFound", Message: "The parameter was not found."}
}

func invalid(format string, args ...any) error {
	return &awswire.Error{Code: "ValidationException", Message: fmt.Sprintf(format, args...)}
}

type putInput struct {
	Name, Value, Type, Tier string
	Overwrite               bool
}

type putOutput struct {
	Version int
	Tier    string
}

func (s *Server) put(_ context.Context, in *putInput) (*putOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.nameOf(in.Name)
	versions := s.parameters[name]
	tier, limit := "Standard", standardLimit
	if in.Tier == "Advanced" || in.Tier == "Intelligent-Tiering" && len(in.Value) > standardLimit {
		tier, limit = "Advanced", advancedLimit
	}
	switch {
	case name == "" || strings.ContainsAny(name, ": "):
		return nil, invalid("Parameter name: can't be empty, or hold characters other than a-zA-Z0-9_.-/.")
	case strings.Contains(name, "/") && name[0] != '/':
		return nil, invalid("Parameter name must be a fully qualified name.")
	case in.Value == "":
		return nil, invalid("1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case len(in.Value) > limit:
		return nil, invalid("%s tier parameters support a maximum parameter value of %d characters.", tier, limit)
	case len(versions) > 0 && !in.Overwrite:
		return nil, &awswire.Error{Code: "ParameterAlreadyExists", Message: "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."}
	case in.Type == "" && len(versions) == 0:
		return nil, invalid("A parameter type is required when you create a parameter.")
	case in.Type != "" && !slices.Contains([]string{"String", "StringList", "SecureString"}, in.Type):
		return nil, invalid("1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [SecureString, StringList, String]", in.Type)
	}
	next := version{number: 1, kind: in.Type, value: in.Value, modified: time.Now()}
	if len(versions) > 0 {
		last := versions[len(versions)-1]
		next.number = last.number + 1
		if next.kind == "" {
			next.kind = last.kind
		}
	}
	versions = append(versions, next)
	s.parameters[name] = versions[max(0, len(versions)-keptVersions):]
	return &putOutput{Version: next.number, Tier: tier}, nil
}

// A parameter is the shape of the wire.
type parameter struct {
	Name, Type, Value string
	Version           int
	Selector          string `json:",omitempty"`
	LastModifiedDate  float64
	ARN               string
	DataType          string
}

// nameOf takes a parameter's ARN for its name, too.
func (s *Server) nameOf(given string) string {
	rest, isARN := strings.CutPrefix(given, "arn:aws:ssm:"+s.region+":"+s.account+":parameter")
	if isARN && strings.Count(rest, "/") == 1 {
		return rest[1:] // a name without a path
	}
	if isARN {
		return rest
	}
	return given
}

// find looks up name, ARN, or either with :version. The caller holds the lock.
func (s *Server) find(given string, decrypt bool) (*parameter, error) {
	name, selector := s.nameOf(given), ""
	if at := strings.LastIndexByte(name, ':'); at >= 0 {
		name, selector = name[:at], name[at:]
	}
	versions := s.parameters[name]
	if versions == nil && s.parameters["/"+name] != nil && strings.HasPrefix(given, "arn:") {
		name, versions = "/"+name, s.parameters["/"+name]
	}
	if len(versions) == 0 {
		return nil, notFound()
	}
	found := versions[len(versions)-1]
	if selector != "" {
		at := slices.IndexFunc(versions, func(v version) bool { return ":"+strconv.Itoa(v.number) == selector })
		if at < 0 {
			return nil, &awswire.Error{Code: "ParameterVersionNotFound", Message: "Systems Manager could not find version " + selector[1:] + " of " + name + ". Verify the version and try again."}
		}
		found = versions[at]
	}
	value := found.value
	if found.kind == "SecureString" && !decrypt {
		value = base64.StdEncoding.EncodeToString([]byte("the sandbox's cipher text:" + found.value))
	}
	return &parameter{
		Name: name, Type: found.kind, Value: value, Version: found.number, Selector: selector,
		LastModifiedDate: awswire.Epoch(found.modified), DataType: "text",
		ARN: "arn:aws:ssm:" + s.region + ":" + s.account + ":parameter/" + strings.TrimPrefix(name, "/"),
	}, nil
}

type getInput struct {
	Name           string
	Names          []string
	WithDecryption bool
}

type getOutput struct{ Parameter *parameter }

func (s *Server) get(_ context.Context, in *getInput) (*getOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(in.Name, in.WithDecryption)
	if err != nil {
		return nil, err
	}
	return &getOutput{found}, nil
}

type severalOutput struct {
	Parameters        []*parameter
	InvalidParameters []string
}

func (s *Server) getSeveral(_ context.Context, in *getInput) (*severalOutput, error) {
	if len(in.Names) == 0 || len(in.Names) > 10 {
		return nil, invalid("1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &severalOutput{Parameters: []*parameter{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		if found, err := s.find(name, in.WithDecryption); err == nil {
			out.Parameters = append(out.Parameters, found)
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	return out, nil
}

type pathInput struct {
	Path                      string
	Recursive, WithDecryption bool
	MaxResults                int
	NextToken                 string
}

type pathOutput struct {
	Parameters []*parameter
	NextToken  string `json:",omitempty"`
}

// getByPath lists by name, a page at a time; the token is the last name given.
func (s *Server) getByPath(_ context.Context, in *pathInput) (*pathOutput, error) {
	if !strings.HasPrefix(in.Path, "/") {
		return nil, invalid("The parameter path must begin with a slash /.")
	}
	under := strings.TrimSuffix(in.Path, "/") + "/"
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.parameters {
		rest, below := strings.CutPrefix(name, under)
		if below && name > in.NextToken && (in.Recursive || !strings.Contains(rest, "/")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	size := pathPage
	if in.MaxResults > 0 {
		size = min(size, in.MaxResults)
	}
	out := &pathOutput{Parameters: []*parameter{}}
	for _, name := range names[:min(size, len(names))] {
		found, _ := s.find(name, in.WithDecryption) // it is there
		out.Parameters = append(out.Parameters, found)
	}
	if len(names) > size {
		out.NextToken = names[size-1]
	}
	return out, nil
}

type empty struct{}

func (s *Server) delete(_ context.Context, in *getInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.nameOf(in.Name)
	if s.parameters[name] == nil {
		return nil, notFound()
	}
	delete(s.parameters, name)
	return &empty{}, nil
}

type deletedOutput struct{ DeletedParameters, InvalidParameters []string }

func (s *Server) deleteSeveral(_ context.Context, in *getInput) (*deletedOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &deletedOutput{DeletedParameters: []string{}, InvalidParameters: []string{}}
	for _, name := range in.Names {
		if s.parameters[name] == nil {
			out.InvalidParameters = append(out.InvalidParameters, name)
			continue
		}
		delete(s.parameters, name)
		out.DeletedParameters = append(out.DeletedParameters, name)
	}
	return out, nil
}
