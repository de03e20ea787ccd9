package processor

import (
	"slices"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/message"
)

// defaultRules are what holds without a DeliveryPolicy.
func defaultRules(maxAttempts int) func(message.Channel) config.ChannelSpec {
	channels := config.DefaultDeliveryPolicy().Spec.Channels
	return func(channel message.Channel) config.ChannelSpec {
		spec := channels.Of(string(channel))
		spec.MaxAttempts = maxAttempts
		return spec
	}
}

// rules are what the DeliveryPolicy says, now, of the message's channel.
func (i *item) rules() config.ChannelSpec { return i.Rules(i.m.Channel) }

// maxAttempts is how often a message is tried.
func (i *item) maxAttempts() int { return i.rules().MaxAttempts }

// resends says that a message of which nobody can tell whether it was sent is
// sent again, by the policy for its priority.
func resends(rules func(message.Channel) config.ChannelSpec) func(*message.Message) bool {
	return func(m *message.Message) bool {
		doubt := rules(m.Channel).InDoubt
		if m.Priority == message.Marketing {
			return doubt.Marketing == config.InDoubtResend
		}
		return doubt.Transactional == config.InDoubtResend
	}
}

// quietUntil is when quiet hours that hold now for the message end; zero: they
// do not hold.
func (i *item) quietUntil(now time.Time) time.Time {
	quiet := i.rules().QuietHours
	if quiet == nil {
		return time.Time{}
	}
	if slices.Contains(quiet.AppliesTo, string(i.m.Priority)) {
		return quietEnd(quiet, zonesOf(i.m), now)
	}
	return time.Time{}
}

// quietEnd is the first moment from now on at which no zone is quiet; zero: now.
// Where the zones of a number leave no such moment within two days (a
// satellite's, a freephone's), the first zone alone counts.
func quietEnd(quiet *config.QuietHours, zones []*time.Location, now time.Time) time.Time {
	at := now
	for at.Sub(now) < 48*time.Hour {
		until := time.Time{}
		for _, zone := range zones {
			if end := quietIn(quiet, zone, at); end.After(until) {
				until = end
			}
		}
		switch {
		case until.IsZero() && at.Equal(now):
			return time.Time{}
		case until.IsZero():
			return at
		}
		at = until
	}
	return quietIn(quiet, zones[0], now)
}

// quietIn is when the quiet hours that hold at a moment in one zone end; zero:
// they do not hold.
func quietIn(quiet *config.QuietHours, zone *time.Location, at time.Time) time.Time {
	local := at.In(zone)
	for _, day := range []int{-1, 0} { // those that began yesterday may hold still
		from, to := onDay(quiet.From, local, day), endOnDay(quiet.To, local, day)
		if !to.After(from) {
			to = endOnDay(quiet.To, local, day+1)
		}
		if !at.Before(from) && at.Before(to) {
			return to
		}
	}
	return time.Time{}
}

// onDay is a time of day, days after local's.
func onDay(clock string, local time.Time, days int) time.Time {
	return time.Date(local.Year(), local.Month(), local.Day()+days, 0, int(sinceMidnight(clock).Minutes()), 0, 0, local.Location())
}

// sinceMidnight is a time of day as the clock reads it.
func sinceMidnight(clock string) time.Duration {
	at, err := time.Parse("15:04", clock)
	if err != nil { // the policy was checked when it was loaded
		return 0
	}
	return time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute
}

// endOnDay is onDay for the end of a span: of two moments that are called so, when
// the clocks are put back, the later; and where they leap over it, the leap.
func endOnDay(clock string, local time.Time, days int) time.Time {
	at := onDay(clock, local, days)
	began, ends := at.ZoneBounds()
	_, offset := at.Zone()
	midnight := time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, time.UTC)
	called := at.UTC().Add(time.Duration(offset) * time.Second).Sub(midnight)
	switch meant := sinceMidnight(clock); {
	case called < meant:
		return ends
	case called > meant:
		return began
	case ends.IsZero():
		return at
	}
	_, after := ends.Zone()
	if again := at.Add(time.Duration(offset-after) * time.Second); !again.Before(ends) {
		return again
	}
	return at
}

// zonesOf are the time zones in which the recipient may be: the one that the
// message names as time_zone in its metadata or data; else those of the
// telephone number's region; else UTC.
func zonesOf(m *message.Message) []*time.Location {
	named, _ := m.Data["time_zone"].(string)
	if m.Metadata["time_zone"] != "" {
		named = m.Metadata["time_zone"]
	}
	if zone, err := time.LoadLocation(named); err == nil && named != "" && named != "Local" {
		return []*time.Location{zone}
	}
	var zones []*time.Location
	if m.Channel == message.SMS {
		names, err := phonenumbers.GetTimezonesForPrefix(m.To.Reveal())
		for _, name := range names {
			if zone, zoneErr := time.LoadLocation(name); err == nil && zoneErr == nil {
				zones = append(zones, zone)
			}
		}
	}
	if len(zones) == 0 {
		zones = []*time.Location{time.UTC}
	}
	return zones
}
