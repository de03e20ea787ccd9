package processor

import (
	"fmt"
	"slices"
	"time"

	"github.com/novaura/acs-operator/internal/provider"
)

// refusal is a provider's word that it does not take our credentials.
type refusal struct {
	since, last time.Time
	err         *provider.Error
}

// refusalTold is how long after the last a refusal counts, where nobody has sent
// by that provider since: longer than a message waits between two tries.
const refusalTold = longestDelay + 5*time.Minute

// heard remembers what an answer says of our credentials. nil: it was an
// acceptance.
func (p *Processor) heard(sender string, err *provider.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil || err.Class == provider.Permanent || err.Class == provider.Suppress:
		delete(p.refusals, sender)
	case err.Credentials:
		key := sender
		if err.Alone {
			key += " " + err.Code
		}
		known := p.refusals[key]
		if p.Now().Sub(known.last) > refusalTold {
			known.since = p.Now()
		}
		known.last, known.err = p.Now(), err
		p.refusals[key] = known
	}
}

// Refusals are the providers that refuse our credentials now, a line each.
func (p *Processor) Refusals() (lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, one := range p.refusals {
		if p.Now().Sub(one.last) > refusalTold {
			delete(p.refusals, key)
			continue
		}
		lines = append(lines, fmt.Sprintf("%s since %s: %s", provider.CredentialsRefused, one.since.UTC().Format(time.RFC3339), one.err))
	}
	slices.Sort(lines)
	return lines
}
