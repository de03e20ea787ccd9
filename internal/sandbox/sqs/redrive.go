package sqs

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// A redrivePolicy is where a message goes instead of being received more than
// maxReceives times.
type redrivePolicy struct {
	target      string // the queue's name
	maxReceives int
}

// redriveDocument is a RedrivePolicy as it is written. AWS takes the count as
// a number and as a string.
type redriveDocument struct {
	Target      string      `json:"deadLetterTargetArn"`
	MaxReceives json.Number `json:"maxReceiveCount"`
}

func parseRedrive(policy string) *redrivePolicy {
	if policy == "" {
		return nil
	}
	var document redriveDocument
	_ = json.Unmarshal([]byte(policy), &document) // checked when it was set
	count, _ := strconv.Atoi(document.MaxReceives.String())
	return &redrivePolicy{target: nameOfARN(document.Target), maxReceives: count}
}

func nameOfARN(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// checkRedrive returns a queue's RedrivePolicy as it is kept. The caller
// holds s.mu for writing.
func (s *Service) checkRedrive(queue, policy string) (string, error) {
	if policy == "" {
		return "", nil
	}
	bad := func(reason string) error { return invalidValue(policy, "RedrivePolicy", reason) }
	var document redriveDocument
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		return "", bad("Redrive policy is not a valid JSON map.")
	}
	count, err := strconv.Atoi(document.MaxReceives.String())
	if err != nil || count < 1 || count > 1000 {
		return "", bad("Invalid value for maxReceiveCount: " + document.MaxReceives.String() + ", valid values are from 1 to 1000 both inclusive.")
	}
	target := s.queues[nameOfARN(document.Target)]
	if target == nil || document.Target != s.arn(target.name) {
		return "", bad("Dead letter target does not exist.")
	}
	if !s.allows(target, queue) {
		return "", bad("Queue " + document.Target + " does not allow this queue as a redrive source.")
	}
	encoded, err := json.Marshal(redriveDocument{Target: document.Target, MaxReceives: json.Number(strconv.Itoa(count))})
	return string(encoded), err
}

type redriveAllowDocument struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

// allows tells whether target's RedriveAllowPolicy lets a queue name it.
func (s *Service) allows(target *queue, source string) bool {
	var document redriveAllowDocument
	_ = json.Unmarshal([]byte(target.attributes["RedriveAllowPolicy"]), &document) // checked when it was set
	switch document.Permission {
	case "denyAll":
		return false
	case "byQueue":
		return slices.Contains(document.Sources, s.arn(source))
	default:
		return true
	}
}

func checkRedriveAllow(policy string) (string, error) {
	if policy == "" {
		return "", nil
	}
	var document redriveAllowDocument
	err := json.Unmarshal([]byte(policy), &document)
	known := slices.Contains([]string{"allowAll", "denyAll", "byQueue"}, document.Permission)
	byQueue := document.Permission == "byQueue"
	if err != nil || !known || byQueue != (len(document.Sources) > 0) || len(document.Sources) > 10 {
		return "", invalidValue(policy, "RedriveAllowPolicy",
			"redrivePermission must be allowAll, denyAll, or byQueue with 1 to 10 sourceQueueArns.")
	}
	encoded, err := json.Marshal(document)
	return string(encoded), err
}
