package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// service makes a cluster of a service, and says its name, which both have.
func (c *clients) service(ctx context.Context, tasks int32) (string, error) {
	name := unique("service")
	if _, err := c.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: &name}); err != nil {
		return "", err
	}
	if _, err := c.define(ctx, name); err != nil {
		return "", err
	}
	_, err := c.ecs.CreateService(ctx, &ecs.CreateServiceInput{
		Cluster: &name, ServiceName: &name, TaskDefinition: &name, DesiredCount: &tasks, LaunchType: types.LaunchTypeFargate,
		Tags:                 []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}},
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{c.subnet}, SecurityGroups: []string{c.group}}},
	})
	return name, err
}

func (c *clients) define(ctx context.Context, family string) (*types.TaskDefinition, error) {
	out, err := c.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: &family, RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate}, NetworkMode: types.NetworkModeAwsvpc,
		Cpu: aws.String("256"), Memory: aws.String("512"), RuntimePlatform: &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureArm64},
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("w"), Image: aws.String("worker:1"), Secrets: []types.Secret{{Name: aws.String("S"), ValueFrom: aws.String("arn")}},
		}},
	})
	if err != nil {
		return nil, err
	}
	return out.TaskDefinition, nil
}

func (c *clients) describe(ctx context.Context, name string) (types.Service, error) {
	out, err := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &name, Services: []string{name}, Include: []types.ServiceField{types.ServiceFieldTags}})
	if err != nil || len(out.Services) != 1 {
		return types.Service{}, fmt.Errorf("describe: %w", orNone(err))
	}
	return out.Services[0], nil
}

// settled waits until as many run as are desired, by one completed deployment.
func (c *clients) settled(ctx context.Context, name string, tasks int32) (types.Service, error) {
	var found types.Service
	return found, until(ctx, func() (err error) {
		if found, err = c.describe(ctx, name); err != nil {
			return err
		}
		if len(found.Deployments) != 1 {
			return fmt.Errorf("%d deployments", len(found.Deployments))
		}
		return errors.Join(want("running", found.RunningCount, tasks), want("rollout", found.Deployments[0].RolloutState, types.DeploymentRolloutStateCompleted))
	})
}

// served is a behaviour of a service that has settled.
func served(name string, run func(ctx context.Context, c *clients, service types.Service, cluster string) error) behaviour {
	return behaviour{"ecs", name, func(ctx context.Context, c *clients) error {
		cluster, err := c.service(ctx, 2)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, c.patience)
		defer cancel()
		service, err := c.settled(short, cluster, 2)
		if err != nil {
			return err
		}
		return run(ctx, c, service, cluster)
	}}
}

func containers() []behaviour {
	return []behaviour{
		{"ecs", "a task definition is given back whole, and numbered", func(ctx context.Context, c *clients) error {
			family := unique("family")
			if _, err := c.define(ctx, family); err != nil {
				return err
			}
			second, err := c.define(ctx, family)
			if err != nil {
				return err
			}
			out, err := c.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &family})
			if err != nil {
				return err
			}
			d := out.TaskDefinition
			return errors.Join(want("revision", d.Revision, 2), want("ARN", *d.TaskDefinitionArn, *second.TaskDefinitionArn), want("memory", *d.Memory, "512"),
				want("secrets", len(d.ContainerDefinitions[0].Secrets), 1), want("architecture", d.RuntimePlatform.CpuArchitecture, types.CPUArchitectureArm64))
		}},
		{"ecs", "a service says what it was created with", func(ctx context.Context, c *clients) error {
			name, err := c.service(ctx, 2)
			if err != nil {
				return err
			}
			s, err := c.describe(ctx, name)
			if err != nil {
				return err
			}
			return errors.Join(want("desired", s.DesiredCount, 2), want("status", *s.Status, "ACTIVE"), want("launch type", s.LaunchType, types.LaunchTypeFargate),
				want("subnets", s.NetworkConfiguration.AwsvpcConfiguration.Subnets, []string{c.subnet}), want("tags", len(s.Tags), 1), want("deployments", len(s.Deployments), 1))
		}},
		{"ecs", "the desired count is set, and a negative one refused", func(ctx context.Context, c *clients) error {
			name, err := c.service(ctx, 0)
			if err != nil {
				return err
			}
			out, err := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &name, Service: &name, DesiredCount: aws.Int32(3)})
			if err != nil {
				return err
			}
			_, negative := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &name, Service: &name, DesiredCount: aws.Int32(-1)})
			return errors.Join(want("desired", out.Service.DesiredCount, 3), wantCode(negative, "InvalidParameterException"))
		}},
		{"ecs", "a missing service is a failure, a missing cluster an error", func(ctx context.Context, c *clients) error {
			name, err := c.service(ctx, 0)
			if err != nil {
				return err
			}
			out, err := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &name, Services: []string{"none"}})
			if err != nil {
				return err
			}
			_, noCluster := c.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String("none"), Services: []string{"none"}})
			_, noService := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &name, Service: aws.String("none"), DesiredCount: aws.Int32(1)})
			if len(out.Failures) != 1 {
				return fmt.Errorf("%d failures", len(out.Failures))
			}
			return errors.Join(want("reason", *out.Failures[0].Reason, "MISSING"), wantCode(noCluster, "ClusterNotFoundException"), wantCode(noService, "ServiceNotFoundException"))
		}},
		{"ecs", "a service that runs tasks is not deleted without force", func(ctx context.Context, c *clients) error {
			name, err := c.service(ctx, 1)
			if err != nil {
				return err
			}
			_, gently := c.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: &name, Service: &name})
			out, err := c.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: &name, Service: &name, Force: aws.Bool(true)})
			if err != nil {
				return err
			}
			return errors.Join(wantCode(gently, "InvalidParameterException"), want("desired", out.Service.DesiredCount, 0))
		}},
		served("a service starts its tasks and says that it is steady", func(ctx context.Context, c *clients, s types.Service, cluster string) error {
			tasks, err := c.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &cluster})
			if err != nil {
				return err
			}
			if len(s.Events) == 0 {
				return errors.New("no events")
			}
			return errors.Join(want("tasks", len(tasks.TaskArns), 2), want("event", *s.Events[0].Message, "(service "+cluster+") has reached a steady state."))
		}),
		served("another task definition is a deployment of its own, until it completes", func(ctx context.Context, c *clients, _ types.Service, cluster string) error {
			d, err := c.define(ctx, cluster)
			if err != nil {
				return err
			}
			out, err := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &cluster, Service: &cluster, TaskDefinition: d.TaskDefinitionArn})
			if err != nil {
				return err
			}
			if len(out.Service.Deployments) != 2 {
				return fmt.Errorf("%d deployments", len(out.Service.Deployments))
			}
			after, err := c.settled(ctx, cluster, 2)
			if err != nil {
				return err
			}
			return errors.Join(want("first", *out.Service.Deployments[0].Status, "PRIMARY"), want("second", *out.Service.Deployments[1].Status, "ACTIVE"),
				want("rollout", out.Service.Deployments[0].RolloutState, types.DeploymentRolloutStateInProgress), want("definition", *after.TaskDefinition, *d.TaskDefinitionArn))
		}),
		served("a protected task outlives a scale-in", func(ctx context.Context, c *clients, _ types.Service, cluster string) error {
			tasks, err := c.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &cluster})
			if err != nil {
				return err
			}
			kept := tasks.TaskArns[0]
			if _, err := c.ecs.UpdateTaskProtection(ctx, &ecs.UpdateTaskProtectionInput{Cluster: &cluster, Tasks: []string{kept}, ProtectionEnabled: true}); err != nil {
				return err
			}
			if _, err := c.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &cluster, Service: &cluster, DesiredCount: aws.Int32(0)}); err != nil {
				return err
			}
			return until(ctx, func() error {
				left, err := c.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &cluster})
				if err != nil {
					return err
				}
				return want("left", left.TaskArns, []string{kept})
			})
		}),
		served("a stopped task keeps its reason", func(ctx context.Context, c *clients, _ types.Service, cluster string) error {
			tasks, err := c.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, ServiceName: &cluster})
			if err != nil {
				return err
			}
			if _, err := c.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &cluster, Task: &tasks.TaskArns[0], Reason: aws.String("to see")}); err != nil {
				return err
			}
			return until(ctx, func() error {
				out, err := c.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: tasks.TaskArns[:1]})
				if err != nil || len(out.Tasks) != 1 {
					return fmt.Errorf("describe: %w", orNone(err))
				}
				t := out.Tasks[0]
				return errors.Join(want("status", *t.LastStatus, "STOPPED"), want("reason", aws.ToString(t.StoppedReason), "to see"), want("code", t.StopCode, types.TaskStopCodeUserInitiated))
			})
		}),
	}
}
