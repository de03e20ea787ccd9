# Names and ARNs. ARNs are put together from names, so that a plan shows every
# IAM policy in full before anything exists.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  emulated = coalesce(var.emulated, local.account == "123456789012")
  workers  = !var.controller_only
  programs = local.workers ? ["worker", "controller"] : ["controller"]

  cluster          = local.workers ? "${var.name}-processor-cluster" : try(local.targets[0].cluster, "-")
  worker_name      = "${var.name}-communication-processor-worker-service"
  controller_name  = "${var.name}-controller-service"
  worker_image     = "${var.name}-processor"
  controller_image = "${var.name}-controller"
  log_group        = "/ecs/${var.name}-processor"
  policy_parameter = "/${var.name}/scaling-policy"
  policy_bucket    = "${var.name}-policy-${local.account}-${local.region}"

  # Roles, dashboards and budgets have no region, so two regions of one account
  # must not give them the same name. The default name keeps its names of before.
  global_suffix = var.name == "novaura-acs" ? "" : "-${local.region}"
  # Metrics of log filters have no dimension that could tell environments apart.
  log_metrics = var.name == "novaura-acs" ? "ACS/Logs" : "ACS/Logs/${var.name}"

  channels    = toset(local.workers ? ["sms", "email", "push"] : [])
  queue_names = { for channel in local.channels : channel => "${var.name}-${channel}-events" }
  dlq_names   = { for channel, name in local.queue_names : channel => "${name}-dlq" }
  queue_arns  = { for channel, name in local.queue_names : channel => "${local.sqs_arn}:${name}" }
  dlq_arns    = { for channel, name in local.dlq_names : channel => "${local.sqs_arn}:${name}" }
  sqs_arn     = "arn:${local.partition}:sqs:${local.region}:${local.account}"

  worker_services = local.workers ? var.worker_services : {}
  # The service "all" has the predecessor's name.
  worker_service_names = { for name in keys(local.worker_services) : name => name == "all" ? local.worker_name : "${local.worker_name}-${name}" }
  # Which queues each of them works on.
  worker_channels = {
    for name, service in local.worker_services : name => [
      for channel in sort(local.channels) : channel
      if contains([for type in split(",", service.worker_type) : trimspace(type)], "all") || contains([for type in split(",", service.worker_type) : trimspace(type)], channel)
    ]
  }

  # What the controller scales and watches: the workers and queues of this
  # module or, for a controller alone, what its policies name.
  scaled_services = local.workers ? [for name in values(local.worker_service_names) : { cluster = local.cluster, service = name }] : local.targets
  scaled_arns     = [for target in local.scaled_services : "${local.ecs_arn}:service/${target.cluster}/${target.service}"]
  scaled_clusters = distinct([for target in local.scaled_services : "${local.ecs_arn}:cluster/${target.cluster}"])
  watched_queues  = local.workers ? values(local.queue_names) : local.policy_queues
  watched_dlqs    = local.workers ? values(local.dlq_names) : local.policy_dlqs

  ecs_arn             = "arn:${local.partition}:ecs:${local.region}:${local.account}"
  cluster_arn         = "${local.ecs_arn}:cluster/${local.cluster}"
  log_group_arn       = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
  worker_image_arn    = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.worker_image}"
  controller_repo_arn = "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${local.controller_image}"
  registry            = "${local.account}.dkr.ecr.${local.region}.${data.aws_partition.current.dns_suffix}"

  tags = merge(var.tags, {
    Project     = var.name
    Environment = var.environment
    ManagedBy   = "terraform"
  })
}
