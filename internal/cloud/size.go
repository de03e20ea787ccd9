package cloud

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/novaura/acs-operator/config"
	"github.com/novaura/acs-operator/internal/awsclient"
)

// ErrNoSize is a service whose task definition states no size of its own.
var ErrNoSize = errors.New("its task definition states no cpu and memory")

// TaskSize returns the CPU units and the MiB of memory of the service's tasks.
func (s *Services) TaskSize(ctx context.Context, ref config.ServiceRef) (cpu, memory int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	service, err := s.one(ctx, ref)
	if err != nil {
		return 0, 0, fmt.Errorf("describe service %q in cluster %q: %w", ref.Service, ref.Cluster, err)
	}
	definition, err := s.client.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: service.TaskDefinition})
	if err != nil {
		return 0, 0, fmt.Errorf("describe task definition of service %q: %w", ref.Service, awsclient.Explain(err, "ecs:DescribeTaskDefinition"))
	}
	cpu, cpuErr := strconv.Atoi(aws.ToString(definition.TaskDefinition.Cpu))
	memory, memoryErr := strconv.Atoi(aws.ToString(definition.TaskDefinition.Memory))
	if cpuErr != nil || memoryErr != nil {
		return 0, 0, fmt.Errorf("size of service %q: %w", ref.Service, ErrNoSize)
	}
	return cpu, memory, nil
}

// Utilization is how much of their size a service's tasks used, as parts of 1.
type Utilization struct{ CPU, CPUMax, MemoryMax float64 }

// Utilization reads AWS/ECS from a time until another: the mean of the
// processor, and the hour with the highest mean of each. Points is how many
// hours had a value.
func (m *Metrics) Utilization(ctx context.Context, ref config.ServiceRef, from, until time.Time) (u Utilization, points int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	query := func(id, name, stat string) types.MetricDataQuery {
		return types.MetricDataQuery{Id: aws.String(id), MetricStat: &types.MetricStat{
			Period: aws.Int32(int32(time.Hour / time.Second)), Stat: aws.String(stat),
			Metric: &types.Metric{Namespace: aws.String("AWS/ECS"), MetricName: aws.String(name), Dimensions: []types.Dimension{
				{Name: aws.String("ClusterName"), Value: aws.String(lastPart(ref.Cluster))}, {Name: aws.String("ServiceName"), Value: aws.String(lastPart(ref.Service))},
			}},
		}}
	}
	out, err := m.cw.GetMetricData(ctx, &cloudwatch.GetMetricDataInput{
		StartTime: aws.Time(from.Truncate(time.Hour)), EndTime: aws.Time(until),
		MetricDataQueries: []types.MetricDataQuery{query("cpu", "CPUUtilization", "Average"), query("memory", "MemoryUtilization", "Maximum")},
	})
	if err != nil {
		return u, 0, fmt.Errorf("read utilization of service %q: %w", ref.Service, awsclient.Explain(err, "cloudwatch:GetMetricData"))
	}
	for _, r := range out.MetricDataResults {
		for _, v := range r.Values {
			if aws.ToString(r.Id) == "memory" {
				u.MemoryMax = max(u.MemoryMax, v/100)
				continue
			}
			points++
			u.CPU += (v/100 - u.CPU) / float64(points)
			u.CPUMax = max(u.CPUMax, v/100)
		}
	}
	return u, points, nil
}
