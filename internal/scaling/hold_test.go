package scaling

import "testing"

func TestAHoldForbidsItsDirectionAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		direction string
		from, to  int
		want      bool
	}{
		"in forbids fewer":      {HoldIn, 5, 4, true},
		"in allows more":        {HoldIn, 5, 6, false},
		"out forbids more":      {HoldOut, 5, 6, true},
		"out allows fewer":      {HoldOut, 5, 4, false},
		"both forbids more":     {HoldBoth, 5, 6, true},
		"both forbids fewer":    {HoldBoth, 5, 4, true},
		"no change is no crime": {HoldBoth, 5, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (Hold{Direction: tc.direction}).forbids(tc.from, tc.to); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
