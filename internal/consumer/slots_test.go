package consumer

import "testing"

// tick closes a period in which so many jobs ended.
func (s *slots) period(ended int, starved, paused bool) int {
	s.ended, s.starved, s.paused = ended, starved, paused
	return s.tick()
}

func TestSlotsGrowAsLongAsTheyPay(t *testing.T) {
	s := newSlots(0)
	const latency = 0.3 // of a period: each slot does 1/latency jobs in one
	for range 20 {
		s.period(int(float64(s.now)/latency), true, false)
	}
	if s.now != mostSlots {
		t.Errorf("%d slots at a provider that takes its time, want %d", s.now, mostSlots)
	}
}

func TestSlotsStayWhereMoreDoNotHelp(t *testing.T) {
	s := newSlots(0)
	most := 0
	for range 200 {
		most = max(most, s.period(min(100, 10*s.now), true, false))
	}
	if s.now != firstSlots || most > 2*firstSlots {
		t.Errorf("%d slots, at most %d, for a rate that 10 reach; want %d", s.now, most, firstSlots)
	}
}

func TestSlotsFallBackWhenTheProviderThrottles(t *testing.T) {
	s := newSlots(0)
	s.now = 128
	if got := s.period(500, true, true); got != 96 {
		t.Errorf("%d slots after a throttled period, want 96", got)
	}
	for range restTicks {
		s.period(500, true, false)
	}
	if s.now != 96 {
		t.Errorf("%d slots before the rest is over, want 96", s.now)
	}
	for range 100 {
		s.period(0, true, true)
	}
	if s.now != leastSlots {
		t.Errorf("%d slots in the end, want %d", s.now, leastSlots)
	}
}

func TestATryThatMetABusyMomentIsRepeatedSoonAndOneThatNeverPaysSeldom(t *testing.T) {
	s := newSlots(0)
	s.period(500, true, false)                           // a try begins
	if s.period(100, true, false); s.now != firstSlots { // and does not pay
		t.Fatalf("%d slots after a try that did not pay, want %d", s.now, firstSlots)
	}
	for range firstRest + 1 {
		s.period(500, true, false)
	}
	if s.now != 2*firstSlots {
		t.Errorf("%d slots after the first rest, want another try with %d", s.now, 2*firstSlots)
	}
	tries := 0
	for range 400 {
		before := s.now
		if s.period(500, true, false) > before {
			tries++
		}
	}
	if most := 400/restTicks + 5; tries > most {
		t.Errorf("%d tries of what never pays in 400 periods, want at most %d", tries, most)
	}
}

func TestSlotsThatAreNotUsedUpDoNotGrow(t *testing.T) {
	s := newSlots(0)
	for range 50 {
		s.period(5, false, false)
	}
	if s.now != firstSlots {
		t.Errorf("%d slots of a quiet queue, want %d", s.now, firstSlots)
	}
}

func TestSlotsThatWereGivenStay(t *testing.T) {
	s := newSlots(3)
	for range 50 {
		s.period(1000, true, false)
	}
	if s.now != 3 {
		t.Errorf("%d slots, want the 3 that were given", s.now)
	}
}
