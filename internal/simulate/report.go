package simulate

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"

	"github.com/novaura/acs-operator/internal/api/page/vendor"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Parse(reportPage))

// chart is what the page draws of one workload: a point a step.
type chart struct {
	ID        int
	Name      string
	About     string
	Rows      []row
	Seconds   []int
	Arriving  []float64 // messages/s
	Tasks     [][]int   // ours, then the best other's
	TaskNames []string
	Ages      [][]float64 // seconds
	Objective float64     // seconds
}

// row is a line of the table.
type row struct {
	Name                              string
	Late, P50, P99, Max, Hours, Ratio string
	Changes, Reversals, Peak          int
	Ours, Least                       bool
}

// WriteReport writes one HTML page, which needs nothing else, with a table and
// charts of every workload.
func WriteReport(out io.Writer, title string, comparisons []Comparison) error {
	charts := make([]chart, 0, len(comparisons))
	for i, c := range comparisons {
		charts = append(charts, c.chart(i))
	}
	page := map[string]any{
		"Title": title, "Charts": charts,
		"Script": template.JS(vendor.ScriptUPlot), "Style": template.CSS(vendor.StyleUPlot), //nolint:gosec // our own files
	}
	if err := reportTemplate.Execute(out, page); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// shownPoints bounds the points of a chart: more are narrower than a pixel.
const shownPoints = 1440

func (c Comparison) chart(id int) chart {
	ours := c.Results[1]
	shown := []Result{ours}
	if best, found := c.best(); found {
		shown = append(shown, best)
	}
	k := chart{ID: id, Name: c.Workload.Name, About: c.Workload.About, Objective: c.Model.Policy.Spec.Queues[0].MaxAge.Seconds()}
	step := max(1, (len(ours.Points)+shownPoints-1)/shownPoints)
	for i := 0; i < len(ours.Points); i += step {
		from, to := ours.Points[i].Second, len(c.Model.Arrivals)
		if i+step < len(ours.Points) {
			to = ours.Points[i+step].Second
		}
		k.Seconds = append(k.Seconds, int(Epoch.Unix())+from)
		arriving := 0.0
		for _, load := range c.Model.loads() {
			arriving += mean(load.Arrivals[min(from, len(load.Arrivals)):min(to, len(load.Arrivals))])
		}
		k.Arriving = append(k.Arriving, math.Round(10*arriving)/10)
	}
	for _, r := range shown {
		tasks, ages := make([]int, 0, len(k.Seconds)), make([]float64, 0, len(k.Seconds))
		for i := 0; i < len(r.Points); i += step {
			most := r.Points[i]
			for _, p := range r.Points[i:min(i+step, len(r.Points))] {
				most.Desired, most.Age = max(most.Desired, p.Desired), max(most.Age, p.Age)
			}
			tasks, ages = append(tasks, most.Desired), append(ages, most.Age)
		}
		k.Tasks, k.Ages, k.TaskNames = append(k.Tasks, tasks), append(k.Ages, ages), append(k.TaskNames, r.Name)
	}
	for i, r := range c.Results {
		k.Rows = append(k.Rows, c.row(r, i))
	}
	return k
}

func mean(of []float64) float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	return sum / max(1, float64(len(of)))
}

// best is the other that comes nearest: the cheapest of those that leave no
// more than 5 % late, else the one with the fewest late.
func (c Comparison) best() (best Result, found bool) {
	const enough = 0.05
	for _, r := range c.Results[min(2, len(c.Results)):] {
		better := r.Late < best.Late
		if r.Late <= enough {
			better = best.Late > enough || r.TaskHours < best.TaskHours
		}
		if !found || better {
			best, found = r, true
		}
	}
	return best, found
}

func (c Comparison) row(r Result, i int) row {
	line := row{
		Name: r.Name, Hours: fmt.Sprintf("%.1f", r.TaskHours), Ratio: fmt.Sprintf("%.2f", c.Ratio(r)),
		Changes: r.Changes, Reversals: r.Reversals, Peak: r.Peak, Ours: i == 1, Least: i == 0,
	}
	if !line.Least {
		line.Late = fmt.Sprintf("%.2f%%", 100*r.Late)
		line.P50, line.P99, line.Max = seconds(r.Ages[0]), seconds(r.Ages[1]), seconds(r.Ages[2])
	}
	return line
}

func seconds(v float64) string { return fmt.Sprintf("%.0fs", v) }

// Header names the columns of Table.
var Header = []string{"WORKLOAD", "WHO", "LATE", "P50", "P99", "MAX", "TASK-HOURS", "RATIO", "CHANGES", "REVERSALS", "PEAK"}

// Table is the comparisons as rows of text, the workload named on the first of
// its rows.
func Table(comparisons []Comparison) [][]string {
	var rows [][]string
	for _, c := range comparisons {
		for i, r := range c.Results {
			line, name := c.row(r, i), ""
			if i == 0 {
				name = c.Workload.Name
			}
			rows = append(rows, []string{name, line.Name, line.Late, line.P50, line.P99, line.Max, line.Hours, line.Ratio,
				fmt.Sprint(line.Changes), fmt.Sprint(line.Reversals), fmt.Sprint(line.Peak)})
		}
	}
	return rows
}

// Mean is each scaler's mean ratio and part late over all workloads that it
// was run on, as rows of text.
func Mean(comparisons []Comparison) [][]string {
	var names []string
	ratios, late, n := map[string]float64{}, map[string]float64{}, map[string]float64{}
	worst := map[string]float64{}
	for _, c := range comparisons {
		for _, r := range c.Results[1:] {
			if n[r.Name] == 0 {
				names = append(names, r.Name)
			}
			n[r.Name]++
			ratios[r.Name] += c.Ratio(r)
			late[r.Name] += r.Late
			worst[r.Name] = max(worst[r.Name], r.Late)
		}
	}
	rows := make([][]string, 0, len(names))
	for _, name := range names {
		rows = append(rows, []string{name, fmt.Sprintf("%.2f", ratios[name]/n[name]), fmt.Sprintf("%.2f%%", 100*late[name]/n[name]), fmt.Sprintf("%.2f%%", 100*worst[name])})
	}
	return rows
}

// MeanHeader names the columns of Mean.
var MeanHeader = []string{"MEAN OF ALL", "RATIO", "LATE", "WORST"}
