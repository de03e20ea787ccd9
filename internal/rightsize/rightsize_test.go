package rightsize

import (
	"math"
	"strings"
	"testing"
)

func TestRecommend(t *testing.T) {
	for name, tc := range map[string]struct {
		today Size
		used  Used
		want  Size
		why   string
	}{
		"an idle task gets the smallest size":                {Size{1024, 2048}, Used{CPUMax: 0.1, MemoryMax: 0.1}, Size{256, 512}, "cheapest"},
		"memory alone can hold a size":                       {Size{1024, 2048}, Used{CPUMax: 0.1, MemoryMax: 0.6}, Size{256, 2048}, "cheapest"},
		"the processor alone can hold a size":                {Size{1024, 2048}, Used{CPUMax: 0.7, MemoryMax: 0.1}, Size{1024, 2048}, "fits"},
		"a full processor is given twice as much":            {Size{512, 1024}, Used{CPUMax: 1, MemoryMax: 0.4}, Size{1024, 2048}, "full"},
		"memory that is nearly full is given more":           {Size{512, 1024}, Used{CPUMax: 0.5, MemoryMax: 0.95}, Size{512, 2048}, "cheapest"},
		"what no size holds stays as it is":                  {Size{16384, 122880}, Used{CPUMax: 0.9, MemoryMax: 0.9}, Size{16384, 122880}, "fits"},
		"memory that needs more processor gets it with that": {Size{256, 2048}, Used{CPUMax: 0.2, MemoryMax: 1}, Size{512, 3072}, "cheapest"},
	} {
		t.Run(name, func(t *testing.T) {
			now, best := Recommend(tc.today, tc.used, 8, Prices["us-east-1"])
			if best.Size != tc.want || !best.Size.Valid() || !strings.Contains(best.Why, tc.why) || now.Size != tc.today {
				t.Errorf("%v (%s), want %v", best.Size, best.Why, tc.want)
			}
		})
	}
}

func TestAMillionMessagesCost(t *testing.T) {
	now, _ := Recommend(Size{1024, 2048}, Used{CPUMax: 0.5, MemoryMax: 0.5}, 10, Prices["us-east-1"])
	if want := (0.04048 + 2*0.004445) / 36000 * 1e6; math.Abs(now.Million-want) > 1e-9 {
		t.Errorf("%f, want %f", now.Million, want)
	}
	if now, _ = Recommend(Size{1024, 2048}, Used{}, 0, Prices["us-east-1"]); now.Million != 0 {
		t.Errorf("a task of unknown throughput costs %f a million", now.Million)
	}
}

func TestSizesAreThoseOfFargate(t *testing.T) {
	for size, want := range map[Size]bool{{256, 512}: true, {256, 3072}: false, {512, 1024}: true, {512, 512}: false, {4096, 30720}: true, {4096, 31744}: false, {8192, 20480}: true, {8192, 17408}: false, {16384, 122880}: true} {
		if size.Valid() != want {
			t.Errorf("%v valid %t, want %t", size, size.Valid(), want)
		}
	}
}
