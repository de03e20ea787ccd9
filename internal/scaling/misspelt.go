package scaling

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/novaura/acs-operator/config"
)

// nearly is how many letters a key may differ in from a known one and be taken
// for it.
const nearly = 2

// The keys of an observation, by where they stand.
var (
	observationKeys = keysOf(reflect.TypeFor[Observation]())
	serviceKeys     = keysOf(reflect.TypeFor[Service]())
	queueKeys       = keysOf(reflect.TypeFor[Queue]())
	countsKeys      = keysOf(reflect.TypeFor[Counts]())
	sampleKeys      = keysOf(reflect.TypeFor[Sample]())
)

func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i], _, _ = strings.Cut(t.Field(i).Tag.Get("json"), ",")
	}
	return keys
}

// object is a JSON object whose values are not read yet.
type object map[string]json.RawMessage

func objectOf(text json.RawMessage) object {
	var o object
	if json.Unmarshal(text, &o) != nil {
		return nil // a number, null: it has no keys
	}
	return o
}

// misspelt names the first key of an observation that is nearly a known one.
func misspelt(line []byte, p *config.ScalingPolicy) string {
	top := objectOf(line)
	if problem := top.wrong(observationKeys, ""); problem != "" {
		return problem
	}
	if problem := objectOf(top["service"]).wrong(serviceKeys, "service."); problem != "" {
		return problem
	}
	queues := objectOf(top["queues"])
	names := make([]string, len(p.Spec.Queues))
	for i, q := range p.Spec.Queues {
		names[i] = q.Name
	}
	if problem := queues.wrong(names, "queues."); problem != "" {
		return problem
	}
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		queue, path := objectOf(queues[name]), "queues."+name+"."
		if problem := queue.wrong(queueKeys, path); problem != "" {
			return problem
		}
		if problem := queue.samples(path); problem != "" {
			return problem
		}
		var earlier []object
		if json.Unmarshal(queue["earlier"], &earlier) != nil {
			continue // it is refused for what it is
		}
		for i, counts := range earlier {
			path := fmt.Sprintf("%searlier[%d].", path, i)
			if problem := cmp.Or(counts.wrong(countsKeys, path), counts.samples(path)); problem != "" {
				return problem
			}
		}
	}
	return ""
}

// samples names the first wrong key of an object's samples.
func (o object) samples(path string) string {
	for _, metric := range slices.Sorted(maps.Keys(o)) {
		if problem := objectOf(o[metric]).wrong(sampleKeys, path+metric+"."); problem != "" {
			return problem
		}
	}
	return ""
}

// wrong tells a key that is none of those known, but nearly one that is
// absent.
func (o object) wrong(known []string, path string) string {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, key) }) {
			continue
		}
		for _, k := range known {
			if _, given := o[k]; !given && alike(key, k) {
				return fmt.Sprintf("%s%s is not known: did you mean %q?", path, key, k)
			}
		}
	}
	return ""
}

func alike(a, b string) bool {
	if len(a) > 100 || len(b) < 4 {
		return false
	}
	return levenshtein.Distance(strings.ToLower(a), strings.ToLower(b), nil) <= nearly
}
