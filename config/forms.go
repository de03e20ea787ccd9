package config

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // the images are bare: the same zones are known everywhere

	"github.com/robfig/cron/v3"
)

// forms are the shapes of text that a field's form tag names.
var forms = map[string]func(text string) *finding{
	"name":     checkName,
	"cluster":  checkCluster,
	"service":  checkService,
	"queue":    checkQueueName,
	"queueURL": checkQueueURL,
	"cron":     checkCron,
	"timeZone": checkTimeZone,
	"clock":    checkClock,
	"phone":    checkPhone,
	"mail":     checkMail,
	"url":      checkURL,
	"topicARN": checkTopicARN,
	"envName":  checkEnvName,

	mayBeEmpty: checkURL,
}

// mayBeEmpty is the form of the only texts that may be empty.
const mayBeEmpty = "urlOrNothing"

// Lengths are not the expressions' to check: each counted repetition is compiled
// as often as it counts, which took a megabyte of every program that reads a
// policy.
const (
	maxPolicyName = 253
	maxECSName    = 255 // also of each part of an ARN
	maxQueueName  = 80
	maxTopicName  = 256
	maxCron       = 200
)

var (
	policyName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	ecsName    = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	clusterARN = regexp.MustCompile(`^arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[a-zA-Z0-9_-]+$`)
	serviceARN = regexp.MustCompile(`^arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:service(/[a-zA-Z0-9_-]+){1,2}$`)
	queueName  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	topicARN   = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]+$`)
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	phone      = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	mail       = regexp.MustCompile(`^[^@\s<>]+@[^@\s<>]+\.[^@\s<>.]+$`)
)

// checkName holds a name to Kubernetes' DNS subdomain, so that it can stand in
// a URL, a metric's dimension and a log query.
func checkName(text string) *finding {
	if len(text) <= maxPolicyName && policyName.MatchString(text) {
		return nil
	}
	return &finding{"is not a name", "use lower-case letters, digits, - and ., with a letter or digit at both ends"}
}

func checkCluster(text string) *finding {
	return checkECS(text, clusterARN, "arn:aws:ecs:REGION:ACCOUNT:cluster/NAME")
}

func checkService(text string) *finding {
	return checkECS(text, serviceARN, "arn:aws:ecs:REGION:ACCOUNT:service/CLUSTER/NAME")
}

// checkECS takes a name or an ARN; ECS allows 255 letters, digits, hyphens and
// underscores in a name.
func checkECS(text string, arn *regexp.Regexp, example string) *finding {
	short := !slices.ContainsFunc(strings.Split(text, "/"), func(part string) bool { return len(part) > maxECSName })
	switch {
	case short && (ecsName.MatchString(text) || arn.MatchString(text)):
		return nil
	case strings.HasPrefix(text, "arn:"):
		return &finding{"is not the right ARN", fmt.Sprintf("write a name, or %q", example)}
	}
	return &finding{"is not an ECS name", "use 1 to 255 letters, digits, - and _, or an ARN"}
}

// checkQueueName holds a name to SQS's rule for standard queues.
func checkQueueName(text string) *finding {
	switch {
	case len(text) <= maxQueueName && queueName.MatchString(text):
		return nil
	case strings.HasSuffix(text, ".fifo"):
		return &finding{
			"is a FIFO queue",
			"use a standard one: a FIFO queue holds back a whole group while one message waits, so more tasks would not help",
		}
	case strings.Contains(text, "://"):
		return &finding{"is a URL, not a queue's name", fmt.Sprintf("write %q; a queue to scale by may also be given as url", queueOfURL(text))}
	case strings.HasPrefix(text, "arn:"):
		return &finding{"is an ARN, not a queue's name", fmt.Sprintf("write %q", text[strings.LastIndex(text, ":")+1:])}
	}
	return &finding{"is not a queue's name", "use 1 to 80 letters, digits, - and _"}
}

// checkQueueURL takes https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, and what
// stands in for it on another host.
func checkQueueURL(text string) *finding {
	const hint = `write one like "https://sqs.us-east-1.amazonaws.com/123456789012/orders"`
	parsed, err := url.Parse(text)
	if err != nil || parsed.Host == "" || parsed.Scheme != "https" && parsed.Scheme != "http" ||
		parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil {
		return &finding{"is not a queue's URL", hint}
	}
	if wrong := checkQueueName(queueOfURL(text)); wrong != nil {
		if strings.HasSuffix(text, ".fifo") {
			return wrong
		}
		return &finding{"does not end in a queue's name", hint}
	}
	return nil
}

// queueOfURL returns the name in a queue's URL: its last part.
func queueOfURL(text string) string { return path.Base(text) }

var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// checkCron takes the standard five fields, without names for them (@daily)
// and without a time zone, which has its own field.
func checkCron(text string) *finding {
	const hint = `write minute, hour, day, month and weekday, like "0 8 * * MON-FRI"`
	switch {
	case len(text) > maxCron:
		return &finding{fmt.Sprintf("has %d characters, and may have %d", len(text), maxCron), "use ranges and steps, like 0-30/5"}
	case strings.Contains(text, "TZ="):
		return &finding{"has a time zone in it", "write it as timeZone"}
	case strings.HasPrefix(text, "@"):
		return &finding{"is not five cron fields", hint}
	}
	schedule, err := fiveFields.Parse(text)
	if err != nil {
		return &finding{"is not a cron expression (" + err.Error() + ")", hint}
	}
	// Any day will do: Next looks five years ahead, past one leap day.
	if schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return &finding{"names a day that never comes", hint}
	}
	return nil
}

func checkTimeZone(text string) *finding {
	const hint = `write an IANA name like "America/New_York" or "UTC"`
	if text == "Local" {
		return &finding{"differs from machine to machine", hint}
	}
	if _, err := time.LoadLocation(text); err != nil {
		return &finding{"is not a known time zone", hint}
	}
	return nil
}

func checkClock(text string) *finding {
	if _, err := time.Parse("15:04", text); err != nil || len(text) != len("15:04") {
		return &finding{"is not a time of day", `write one like "21:00", in quotes`}
	}
	return nil
}

func checkPhone(text string) *finding {
	if phone.MatchString(text) {
		return nil
	}
	return &finding{"is not a phone number in E.164", `write one like "+14155550100", in quotes`}
}

func checkMail(text string) *finding {
	if mail.MatchString(text) {
		return nil
	}
	return &finding{"is not a mail address", ""}
}

func checkURL(text string) *finding {
	if parsed, err := url.Parse(text); err == nil && parsed.Host != "" && (parsed.Scheme == "https" || parsed.Scheme == "http") {
		return nil
	}
	return &finding{"is not a URL", `write one that starts with "https://"`}
}

func checkTopicARN(text string) *finding {
	if topicARN.MatchString(text) && len(text[strings.LastIndexByte(text, ':')+1:]) <= maxTopicName {
		return nil
	}
	return &finding{"is not the ARN of an SNS topic", `write "arn:aws:sns:REGION:ACCOUNT:NAME"`}
}

func checkEnvName(text string) *finding {
	if envName.MatchString(text) {
		return nil
	}
	return &finding{"is not the name of an environment variable", ""}
}
