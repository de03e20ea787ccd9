package config

import (
	"fmt"
	"strings"
)

// This file finds the mistakes that concern several fields, documents or
// files. What one field tells by itself is in its tags. A rule is silent about
// a field that has a mistake already.

// firsts finds what may stand only once among its kind.
type firsts struct {
	doc    *document
	what   string
	places map[string]string // what is given → where first
}

func newFirsts(doc *document, what string) *firsts {
	return &firsts{doc: doc, what: what, places: map[string]string{}}
}

// check reports the value at path if it was there before.
func (f *firsts) check(path, value string) {
	if value == "" || !f.doc.sound(path) {
		return
	}
	at := f.doc.at(path)
	if first, twice := f.places[value]; twice {
		f.doc.report(path, at, value, "is already the name of a "+f.what, "the first is on "+first)
		return
	}
	f.places[value] = fmt.Sprintf("line %d", at.Line)
}

// checkScaling checks a decoded policy, and sets what depends on other fields.
func (d *document) checkScaling(policy *ScalingPolicy) {
	spec := &policy.Spec
	if d.sound("spec.minTasks", "spec.maxTasks") && spec.MinTasks > spec.MaxTasks {
		path, hint := "spec.minTasks", fmt.Sprintf("lower it, or raise maxTasks (%d)", spec.MaxTasks)
		if !d.given(path) {
			path, hint = "spec.maxTasks", "minTasks is 1 by default: state a lower one"
		}
		d.report(path, d.at(path), d.textAt(path), "leaves minTasks above maxTasks", hint)
	}
	d.checkQueues(spec)
	d.checkSchedules(spec)
	d.checkFallback(spec)
}

// textAt is the scalar at path, as written.
func (d *document) textAt(path string) string { return d.scalarText(d.at(path), nil) }

func (d *document) checkQueues(spec *ScalingSpec) {
	names := newFirsts(d, "queue")
	for i := range spec.Queues {
		queue, path := &spec.Queues[i], fmt.Sprintf("spec.queues[%d]", i)
		if !d.sound(path) {
			continue
		}
		named, located := d.given(path+".name"), d.given(path+".url")
		at := path + ".name"
		switch {
		case named && located:
			d.report(path+".url", d.at(path+".url"), queue.URL, "is given beside name", "give one of the two")
		case located && queue.URL != "":
			queue.Name, at = queueOfURL(queue.URL), path+".url"
		case !named && !located:
			d.report(path, d.at(path), "", "has no name", "give name, or url")
		}
		names.check(at, queue.Name)
		if dead := path + ".deadLetterQueue"; queue.Name != "" && queue.DeadLetterQueue == queue.Name && d.sound(dead) {
			d.report(dead, d.at(dead), queue.DeadLetterQueue, "is the queue itself", "name another")
		}
	}
}

func (d *document) checkSchedules(spec *ScalingSpec) {
	names := newFirsts(d, "schedule")
	for i, schedule := range spec.Schedules {
		path := fmt.Sprintf("spec.schedules[%d]", i)
		names.check(path+".name", schedule.Name)
		least, most := path+".minTasks", path+".maxTasks"
		if !d.sound(path, least, most, "spec.minTasks", "spec.maxTasks") {
			continue
		}
		if schedule.MinTasks == nil && schedule.MaxTasks == nil {
			d.report(path, d.at(path), "", "changes nothing", "give minTasks, maxTasks, or both")
			continue
		}
		low, high := schedule.Bounds(*spec)
		if low <= high || spec.MinTasks > spec.MaxTasks {
			continue
		}
		at := least
		if schedule.MinTasks == nil {
			at = most
		}
		d.report(at, d.at(at), d.textAt(at), "leaves minTasks above maxTasks",
			fmt.Sprintf("with the policy's own it would be %d to %d while the schedule holds", low, high))
	}
}

// Bounds returns the schedule's minTasks and maxTasks, the policy's where it
// has none.
func (s Schedule) Bounds(spec ScalingSpec) (minTasks, maxTasks int) {
	minTasks, maxTasks = spec.MinTasks, spec.MaxTasks
	if s.MinTasks != nil {
		minTasks = *s.MinTasks
	}
	if s.MaxTasks != nil {
		maxTasks = *s.MaxTasks
	}
	return minTasks, maxTasks
}

func (d *document) checkFallback(spec *ScalingSpec) {
	const path = "spec.fallback.tasks"
	if !d.given(path) {
		spec.Fallback.Tasks = spec.MinTasks // the least that is always right
		return
	}
	if !d.sound(path, "spec.maxTasks") {
		return
	}
	if spec.Fallback.Tasks > spec.MaxTasks {
		d.report(path, d.at(path), d.textAt(path), "is above maxTasks", fmt.Sprintf("write one up to %d", spec.MaxTasks))
	}
}

// checkAcross finds what may stand only once among all files: the name of a
// policy among its kind, and the service that a policy steers.
func checkAcross(docs []*document) {
	names, services := map[string]string{}, map[string]string{}
	for _, d := range docs {
		kind, meta, service := d.identity()
		if meta.Name != "" {
			d.checkOnce(names, kind+"/"+meta.Name, "metadata.name", "is the name of another "+kind+" too", "rename it")
		}
		if service != "" {
			d.checkOnce(services, service, "spec.target.service", "is steered by another ScalingPolicy too",
				"one policy may have several queues")
		}
	}
}

// checkOnce reports what was there before, naming that place in the problem.
func (d *document) checkOnce(places map[string]string, key, path, problem, hint string) {
	at := d.at(path)
	if first, twice := places[key]; twice {
		d.report(path, at, d.textAt(path), problem+", at "+first, hint)
		return
	}
	places[key] = fmt.Sprintf("%s:%d:%d", d.file, at.Line, at.Column)
}

// identity returns what must be unique about the document's policy; service is
// empty unless it steers one.
func (d *document) identity() (kind string, meta Metadata, service string) {
	switch policy := d.policy.(type) {
	case *ScalingPolicy:
		target := policy.Spec.Target
		if target.Cluster != "" && target.Service != "" {
			service = lastPart(target.Cluster) + "/" + lastPart(target.Service)
		}
		return KindScalingPolicy, policy.Metadata, service
	case *AlertPolicy:
		return KindAlertPolicy, policy.Metadata, ""
	case *DeliveryPolicy:
		return KindDeliveryPolicy, policy.Metadata, ""
	default:
		return "", Metadata{}, ""
	}
}

// lastPart is the name in an ARN, or the name itself.
func lastPart(ref string) string { return ref[strings.LastIndex(ref, "/")+1:] }
