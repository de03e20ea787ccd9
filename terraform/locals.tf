# Names and ARNs. ARNs are put together from names, so that a plan shows every
# IAM policy whole before anything exists.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  emulated = coalesce(var.emulated, local.account == "123456789012")

  cluster          = "novaura-acs-processor-cluster"
  worker_name      = "novaura-acs-communication-processor-worker-service"
  controller_name  = "novaura-acs-controller-service"
  worker_image     = "novaura-acs-processor"
  controller_image = "novaura-acs-controller"
  log_group        = "/ecs/novaura-acs-processor"
  policy_parameter = "/novaura-acs/scaling-policy"
  policy_bucket    = "novaura-acs-policy-${local.account}-${local.region}"

  channels    = toset(["sms", "email", "push"])
  queue_names = { for channel in local.channels : channel => "novaura-acs-${channel}-events" }
  dlq_names   = { for channel, name in local.queue_names : channel => "${name}-dlq" }
  queue_arns  = { for channel, name in local.queue_names : channel => "arn:${local.partition}:sqs:${local.region}:${local.account}:${name}" }
  dlq_arns    = { for channel, name in local.dlq_names : channel => "arn:${local.partition}:sqs:${local.region}:${local.account}:${name}" }

  # The service "all" has the predecessor's name.
  worker_service_names = { for name in keys(var.worker_services) : name => name == "all" ? local.worker_name : "${local.worker_name}-${name}" }
  # Which queues each of them works on.
  worker_channels = {
    for name, service in var.worker_services : name => [
      for channel in sort(local.channels) : channel
      if contains([for type in split(",", service.worker_type) : trimspace(type)], "all") || contains([for type in split(",", service.worker_type) : trimspace(type)], channel)
    ]
  }

  cluster_arn         = "arn:${local.partition}:ecs:${local.region}:${local.account}:cluster/${local.cluster}"
  worker_service_arns = [for name in values(local.worker_service_names) : "arn:${local.partition}:ecs:${local.region}:${local.account}:service/${local.cluster}/${name}"]
  log_group_arn       = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
  worker_image_arn    = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.worker_image}"
  controller_repo_arn = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.controller_image}"
  registry            = "${local.account}.dkr.ecr.${local.region}.${data.aws_partition.current.dns_suffix}"

  tags = merge(var.tags, {
    Project     = "novaura-acs"
    Environment = var.environment
    ManagedBy   = "terraform"
  })
}

# The policies, as far as this side needs them: the count to create a worker
# service with is its ScalingPolicy's minTasks. A file holds several documents.
locals {
  policy_file = coalesce(var.scaling_policy_file, "${path.module}/../config/scaling-policy.yaml")
  policy_text = file(local.policy_file)
  policies = [
    for document in split("\n---", "\n${replace(local.policy_text, "\r\n", "\n")}") : try(yamldecode(document), null)
  ]
  min_tasks = {
    for policy in local.policies : policy.spec.target.service => try(policy.spec.minTasks, 1)
    if try(policy.kind == "ScalingPolicy" && policy.spec.target.cluster == local.cluster, false)
  }
}
