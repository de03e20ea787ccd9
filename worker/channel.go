package main

import (
	"strings"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/message"
)

// channelFlags say which channels are on: those that WORKER_TYPE names and
// that have a queue.
type channelFlags struct {
	WorkerType    string `env:"WORKER_TYPE" default:"all" help:"Which channels: all, or a comma list of sms, email, push."`
	SMSQueueURL   string `env:"SMS_QUEUE_URL" name:"sms-queue-url" placeholder:"URL,…" help:"The queue of texts; several with commas, the most urgent first."`
	EmailQueueURL string `env:"EMAIL_QUEUE_URL" name:"email-queue-url" placeholder:"URL,…" help:"The queue of mails."`
	PushQueueURL  string `env:"PUSH_QUEUE_URL" name:"push-queue-url" placeholder:"URL,…" help:"The queue of pushes."`
}

// channels are all there are, in the order in which they are shown.
var channels = []message.Channel{message.SMS, message.Email, message.Push}

// queueVariable is the setting of a channel's queue.
func queueVariable(channel message.Channel) string {
	return strings.ToUpper(string(channel)) + "_QUEUE_URL"
}

func (f channelFlags) urls(channel message.Channel) string {
	return map[message.Channel]string{message.SMS: f.SMSQueueURL, message.Email: f.EmailQueueURL, message.Push: f.PushQueueURL}[channel]
}

// wanted are the channels that WORKER_TYPE names, and those among them that it
// names one by one: they must work, or the start fails.
func (f channelFlags) wanted() (wanted, named map[message.Channel]bool, err error) {
	wanted, named = map[message.Channel]bool{}, map[message.Channel]bool{}
	for word := range strings.SplitSeq(f.WorkerType, ",") {
		switch channel := message.Channel(strings.ToLower(strings.TrimSpace(word))); channel {
		case "all":
			for _, each := range channels {
				wanted[each] = true
			}
		case message.SMS, message.Email, message.Push:
			wanted[channel], named[channel] = true, true
		default:
			return nil, nil, cli.Usagef("WORKER_TYPE is %q; write all, or a comma list of sms, email and push", f.WorkerType)
		}
	}
	return wanted, named, nil
}

// queues are those of the channels that are on.
func (f channelFlags) queues() (queues []consumer.Queue, named map[message.Channel]bool, err error) {
	wanted, named, err := f.wanted()
	if err != nil {
		return nil, nil, err
	}
	for _, channel := range channels {
		switch {
		case !wanted[channel]:
		case f.urls(channel) == "" && named[channel]:
			return nil, nil, cli.Usagef("%s is not set, and WORKER_TYPE names %s: name the queue to process", queueVariable(channel), channel)
		default:
			more, err := queuesOf(channel, f.urls(channel))
			if err != nil {
				return nil, nil, err
			}
			queues = append(queues, more...)
		}
	}
	if len(queues) == 0 {
		return nil, nil, cli.Usagef("SMS_QUEUE_URL is not set, nor EMAIL_QUEUE_URL, nor PUSH_QUEUE_URL: name a queue to process")
	}
	return queues, named, nil
}

// queuesOf reads a comma list of queue URLs, the most urgent first.
func queuesOf(channel message.Channel, urls string) (queues []consumer.Queue, err error) {
	for url := range strings.SplitSeq(urls, ",") {
		url = strings.TrimSpace(url)
		switch {
		case url == "":
			continue
		case strings.HasSuffix(url, ".fifo"):
			return nil, cli.Usagef("%s names a FIFO queue: use a standard one, since a failed message of a FIFO queue holds back its whole group", queueVariable(channel))
		}
		queues = append(queues, consumer.Queue{Name: queueName(url), URL: url, Channel: string(channel), Rank: len(queues)})
	}
	return queues, nil
}

func queueName(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }
