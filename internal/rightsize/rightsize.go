// Package rightsize says which Fargate size a task needs, and what a million
// messages cost with it. It is pure: values in, values out; it imports the
// standard library. Start with Recommend.
package rightsize

import (
	"fmt"
	"math"
	"slices"
)

// Size is what a Fargate task is given.
type Size struct {
	CPU    int `json:"cpu"`    // units; 1024 are one vCPU
	Memory int `json:"memory"` // MiB
}

func (s Size) String() string {
	return fmt.Sprintf("%g vCPU, %g GB", float64(s.CPU)/1024, float64(s.Memory)/1024)
}

// Sizes are the combinations that Fargate takes on Linux, cheapest CPU first
// (AWS, "Fargate task definition parameters: task CPU and memory").
func Sizes() []Size {
	var sizes []Size
	for _, row := range []struct{ cpu, from, to, step int }{
		{512, 1024, 4096, 1024},
		{1024, 2048, 8192, 1024},
		{2048, 4096, 16384, 1024},
		{4096, 8192, 30720, 1024},
		{8192, 16384, 61440, 4096},
		{16384, 32768, 122880, 8192},
	} {
		if row.cpu == 512 {
			sizes = append(sizes, Size{256, 512}, Size{256, 1024}, Size{256, 2048})
		}
		for memory := row.from; memory <= row.to; memory += row.step {
			sizes = append(sizes, Size{row.cpu, memory})
		}
	}
	return sizes
}

// Valid says that Fargate takes the combination.
func (s Size) Valid() bool {
	return slices.Contains(Sizes(), s)
}

// Price is what Fargate bills, in US dollars an hour.
type Price struct {
	VCPU   float64 `json:"vcpuHour"`
	GB     float64 `json:"gbHour"`
	Region string  `json:"region"`
	AsOf   string  `json:"asOf"` // the day they were written down: look again, or state your own
}

// Prices are on demand, Linux on x86. A region that is absent has to be told.
var Prices = map[string]Price{
	"us-east-1":    {0.04048, 0.004445, "us-east-1", "2025-11-01"},
	"us-east-2":    {0.04048, 0.004445, "us-east-2", "2025-11-01"},
	"us-west-2":    {0.04048, 0.004445, "us-west-2", "2025-11-01"},
	"eu-west-1":    {0.04048, 0.004445, "eu-west-1", "2025-11-01"},
	"eu-central-1": {0.04656, 0.00511, "eu-central-1", "2025-11-01"},
}

// Hour is what a task of a size costs an hour.
func (p Price) Hour(s Size) float64 {
	return p.VCPU*float64(s.CPU)/1024 + p.GB*float64(s.Memory)/1024
}

// Used is how much of its size a task used: the mean and the busiest time, as
// parts of 1.
type Used struct {
	CPU       float64 `json:"cpu"`
	CPUMax    float64 `json:"cpuMax"`
	MemoryMax float64 `json:"memoryMax"`
}

const (
	// cpuFull and memoryFull are how much of a size its busiest time may use:
	// a processor that is full only slows down, a memory that is full kills.
	cpuFull    = 0.80
	memoryFull = 0.75
	// starved is the use from which a processor is taken for what limits a task.
	starved = 0.95
)

// Advice is a size with what it costs.
type Advice struct {
	Size       Size    `json:"size"`
	Hour       float64 `json:"hour"`       // dollars a task-hour
	Throughput float64 `json:"throughput"` // messages/s a task, at its busiest
	Million    float64 `json:"million"`    // dollars a million messages; 0: the throughput is not known
	Why        string  `json:"why"`
}

// Recommend returns what a task costs today, and the cheapest valid size whose
// processor and memory would hold its busiest time. A task that used all its
// processor is given twice as much, and is expected to do half as much again:
// what it would have used, nobody saw.
func Recommend(today Size, used Used, perTask float64, p Price) (now, best Advice) {
	now = advise(today, perTask, p, fmt.Sprintf("processor up to %.0f%%, memory up to %.0f%% used", 100*used.CPUMax, 100*used.MemoryMax))
	cpu := float64(today.CPU) * used.CPUMax / cpuFull
	throughput := perTask
	why := "the cheapest size that the busiest time leaves a fifth of the processor and a quarter of the memory of"
	if used.CPUMax >= starved {
		cpu, throughput = 2*float64(today.CPU), 1.5*perTask
		why = "the processor was full: twice as much, expecting half as much work again; look again after it"
	}
	memory := float64(today.Memory) * used.MemoryMax / memoryFull
	found := today
	cheapest := math.Inf(1)
	for _, s := range Sizes() {
		if float64(s.CPU) >= cpu && float64(s.Memory) >= memory && p.Hour(s) < cheapest {
			found, cheapest = s, p.Hour(s)
		}
	}
	if found == today {
		why = "today's size fits"
	}
	return now, advise(found, throughput, p, why)
}

func advise(s Size, perTask float64, p Price, why string) Advice {
	a := Advice{Size: s, Hour: p.Hour(s), Throughput: perTask, Why: why}
	if perTask > 0 {
		a.Million = a.Hour / (perTask * 3600) * 1e6
	}
	return a
}
