package scaling

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// number writes a count for people: 5,000; below ten with one decimal where
// it matters.
func number(v float64) string {
	if v > 0 && v < 9.95 && math.Abs(v-math.Round(v)) > 0.05 {
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// perSecond writes a rate for people: 12/s, 0.4/s, 3/min.
func perSecond(v float64) string {
	if v > 0 && v < 0.05 {
		return number(v*60) + "/min"
	}
	return number(v) + "/s"
}

// seconds writes a time for people: 45s, 4m10s.
func seconds(v float64) string {
	return duration(time.Duration(math.Round(min(v, 1e9))) * time.Second)
}

// duration writes 5m for 5m0s, and 2h for 2h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func taskCount(n int) string {
	if n == 1 {
		return "1 task"
	}
	return number(float64(n)) + " tasks"
}
