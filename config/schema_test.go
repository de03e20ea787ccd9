package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	generator "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/novaura/acs-operator/config"
)

func TestTheSchemasAreCurrent(t *testing.T) {
	t.Parallel()
	for kind, policy := range map[string]any{
		config.KindScalingPolicy: config.ScalingPolicy{}, config.KindAlertPolicy: config.AlertPolicy{}, config.KindDeliveryPolicy: config.DeliveryPolicy{},
	} {
		want := generate(t, kind, policy)
		if *update {
			if err := os.WriteFile("schema/"+kind+".json", want, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := config.Schema(kind); err != nil || !bytes.Equal(got, want) {
			t.Errorf("schema of %s is not what its types say (%v): go generate ./config", kind, err)
		}
	}
}

func generate(t *testing.T, kind string, policy any) []byte {
	t.Helper()
	reflector := &generator.Reflector{FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Mapper: mapType, Anonymous: true}
	if err := reflector.AddGoComments("github.com/novaura/acs-operator/config", "./", generator.WithFullComment()); err != nil {
		t.Fatal(err)
	}
	schema := reflector.Reflect(policy)
	root := schema.Definitions[kind]
	root.Properties.Set("apiVersion", &generator.Schema{Const: config.APIVersion})
	root.Properties.Set("kind", &generator.Schema{Const: kind})
	root.Required = append([]string{"apiVersion", "kind"}, root.Required...)
	if queue := schema.Definitions["QueueSpec"]; queue != nil {
		perTask, _ := queue.Properties.Get("throughputPerTask")
		number := &generator.Schema{Type: "number", ExclusiveMinimum: perTask.ExclusiveMinimum, Maximum: perTask.Maximum}
		queue.Properties.Set("throughputPerTask", &generator.Schema{
			Description: perTask.Description, OneOf: []*generator.Schema{{Const: "auto"}, number},
		})
	}
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// mapType says how files write a type that is not what it is in Go.
func mapType(goType reflect.Type) *generator.Schema {
	switch goType {
	case reflect.TypeFor[time.Duration]():
		return &generator.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[config.SecretRef]():
		properties := generator.NewProperties()
		properties.Set("env", &generator.Schema{Type: "string", Description: "The environment variable that holds it."})
		object := &generator.Schema{Type: "object", Properties: properties, Required: []string{"env"}, AdditionalProperties: generator.FalseSchema}
		return &generator.Schema{OneOf: []*generator.Schema{{Type: "string"}, object}}
	}
	return nil
}

func TestTheSchemaTakesTheExamples(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"example.yaml", "scaling-policy.yaml"} {
		if err := validate(t, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A schema sees one field at a time: these are the mistakes that it must find.
func TestTheSchemaRefusesTheMistakesOfOneField(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"field-unknown", "duration-without-unit", "duration-in-days", "min-tasks-negative", "min-tasks-in-quotes", "queues-empty", "queues-missing",
		"channel-unknown", "throughput-per-task-zero", "throughput-per-task-word-unknown", "tolerance-above-1", "policies-empty", "policy-value-zero",
		"api-version-unknown", "name-missing", "alert-expr-missing", "alert-severity-unknown", "delivery-in-doubt-unknown", "status-given",
	} {
		if validate(t, "testdata/"+name+".yaml") == nil {
			t.Errorf("%s: the schema has nothing against it", name)
		}
	}
}

func TestAnUnknownKindHasNoSchema(t *testing.T) {
	t.Parallel()
	if _, err := config.Schema("Deployment"); err == nil || !strings.Contains(err.Error(), "ScalingPolicy") {
		t.Errorf("got %v, want the kinds", err)
	}
}

// validate holds each document of a file to its kind's schema.
func validate(t *testing.T, name string) error {
	t.Helper()
	decoder := yaml.NewDecoder(bytes.NewReader(read(t, name).Data))
	for {
		var document map[string]any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			t.Fatal(err)
		}
		kind, _ := document["kind"].(string)
		data, err := config.Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("policy.json", schema); err != nil {
			t.Fatal(err)
		}
		if err := compiler.MustCompile("policy.json").Validate(document); err != nil {
			return err
		}
	}
}
