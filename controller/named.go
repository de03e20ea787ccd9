package main

import (
	"cmp"
	"context"
	"os"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/novaura/acs-operator/internal/secret"
)

// named looks up what a receiver's {env: NAME} stands for: the secret that
// NAME_ARN names, plain or as JSON under the name in small letters, or else the
// variable. A secret is read for each notification, ten seconds apart at the
// least, so that a rotated one counts at once: receivers refuse an old address
// in too many ways to tell.
type named struct {
	settings aws.Config

	mu   sync.Mutex
	kept map[string]*secret.Secret // by name
}

// lookup is notify.Options.Secret. Where the secret cannot be read the
// variable serves, as it was at the start.
func (n *named) lookup(name string) (value string, known bool) {
	if arn := os.Getenv(name + "_ARN"); arn != "" {
		if value, err := n.read(name, arn); err == nil {
			return value, true
		}
	}
	return os.LookupEnv(name)
}

func (n *named) read(name, arn string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := n.kept[name]
	if kept == nil {
		var err error
		if kept, err = secret.New(n.settings, arn); err != nil {
			return "", err
		}
		n.kept[name] = kept
	}
	kept.Refused()
	value, err := kept.Get(context.Background()) // it bounds itself
	if err != nil {
		return "", err
	}
	return cmp.Or(value.Field(strings.ToLower(name), "").Reveal(), string(value)), nil
}
