# The cluster, two kinds of tasks, and their services.

resource "aws_ecs_cluster" "processor" {
  count = local.workers ? 1 : 0

  name = local.cluster
  tags = merge(local.tags, { "acs-operator/existed-before" = contains(local.existing_names, local.cluster) ? "yes" : "no" })

  lifecycle {
    ignore_changes = [tags["acs-operator/existed-before"]] # guard.tf
    postcondition {
      condition     = try(self.tags["acs-operator/existed-before"], "no") == "no"
      error_message = "The cluster ${local.cluster} ${local.name_is_taken}"
    }
  }

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }
}

moved {
  from = aws_ecs_cluster.processor
  to   = aws_ecs_cluster.processor[0]
}

moved {
  from = aws_ecs_cluster_capacity_providers.processor
  to   = aws_ecs_cluster_capacity_providers.processor[0]
}

resource "aws_ecs_cluster_capacity_providers" "processor" {
  count = local.workers ? 1 : 0

  cluster_name       = aws_ecs_cluster.processor[0].name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
}

locals {
  # Without a database server the controller keeps its state in a file, which
  # lives as long as its task: docs/controller-only.md says what is lost then.
  # (db_name, since a plan that creates the database does not know db_host yet.)
  file_database = var.db_name == null
  database_environment = local.file_database ? { DATABASE_URL = "sqlite:/data/acs.db" } : {
    DB_HOST    = var.db_host
    DB_PORT    = tostring(var.db_port)
    DB_NAME    = var.db_name
    DB_USER    = var.db_user
    DB_SSLMODE = var.db_sslmode
    DB_SCHEMA  = var.db_schema
  }
  common_environment = merge({ for name, value in local.database_environment : name => value if value != null && value != "" }, {
    AWS_REGION  = local.region
    ENVIRONMENT = var.environment
    LOG_LEVEL   = var.log_level
  })

  worker_environment = {
    for name, service in local.worker_services : name => merge(
      local.common_environment,
      { for channel in local.worker_channels[name] : "${upper(channel)}_QUEUE_URL" => aws_sqs_queue.events[channel].url },
      { for secret, arn in local.worker_secrets : "${secret}_ARN" => arn },
      {
        WORKER_TYPE               = service.worker_type
        WORKER_SERVICE            = local.worker_service_names[name]
        WORKER_HEALTH_LISTEN      = "127.0.0.1:9465"
        WORKER_CONCURRENCY        = tostring(service.concurrency)
        WORKER_STOP_TIMEOUT       = "${var.worker_stop_timeout}s"
        WORKER_VISIBILITY_TIMEOUT = "${var.visibility_timeout}s"
      },
      var.webhooks && contains(local.worker_channels[name], "sms") ? { TWILIO_STATUS_CALLBACK_URL = "${aws_apigatewayv2_api.webhooks[0].api_endpoint}/twilio/status" } : {},
      var.webhooks && contains(local.worker_channels[name], "email") ? { SES_CONFIGURATION_SET = local.mail_set } : {},
      local.delivery_policies == 1 ? { WORKER_POLICY = local.policy_source } : {},
      length(var.attachment_prefixes) > 0 ? { EMAIL_ATTACHMENT_PREFIXES = join(",", var.attachment_prefixes) } : {},
      var.worker_environment,
      service.environment,
    )
  }
  controller_environment = merge(
    local.common_environment,
    { for secret, arn in local.controller_secrets : "${secret}_ARN" => arn },
    { CONTROLLER_POLICY = local.policy_source },
    var.controller_environment,
  )
}

resource "aws_ecs_task_definition" "worker" {
  for_each = local.worker_services

  family                   = each.key == "all" ? local.worker_image : "${local.worker_image}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = aws_iam_role.execution["worker"].arn
  task_role_arn            = aws_iam_role.worker[each.key].arn
  skip_destroy             = true # former revisions stay, so that a rollback can name one
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  container_definitions = jsonencode([{
    name                   = "communication-processor-worker"
    image                  = "${local.registry}/${local.worker_image}:${var.image_tag}"
    command                = ["run"]
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    stopTimeout            = var.worker_stop_timeout
    environment            = [for name, value in local.worker_environment[each.key] : { name = name, value = value }]
    secrets                = [for name, arn in local.worker_secrets : { name = name, valueFrom = arn }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    healthCheck = {
      command     = ["CMD", "/worker", "health"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 180 # it may wait for the database, two minutes at the most
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.processor.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "communication-processor-worker"
        mode                  = "non-blocking" # a log that cannot be written must not stop the sending
        max-buffer-size       = "25m"
      }
    }
  }])
}

resource "aws_ecs_service" "worker" {
  for_each = var.create_services ? local.worker_services : {}

  name                    = local.worker_service_names[each.key]
  cluster                 = aws_ecs_cluster.processor[0].id
  task_definition         = aws_ecs_task_definition.worker[each.key].arn
  desired_count           = lookup(local.min_tasks, local.worker_service_names[each.key], each.value.tasks)
  launch_type             = local.emulated ? "FARGATE" : null # or else by the strategy below
  enable_execute_command  = var.enable_execute_command
  enable_ecs_managed_tags = !local.emulated
  propagate_tags          = "SERVICE"
  tags                    = local.tags

  dynamic "capacity_provider_strategy" {
    for_each = local.emulated ? {} : { FARGATE = 100 - var.worker_spot_percent, FARGATE_SPOT = var.worker_spot_percent }
    content {
      capacity_provider = capacity_provider_strategy.key
      base              = capacity_provider_strategy.key == "FARGATE" ? var.worker_on_demand_base : 0
      weight            = capacity_provider_strategy.value
    }
  }

  # A deployment starts the new tasks first, and goes back by itself when they
  # don't stay up.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.private_subnets
    security_groups  = [aws_security_group.task["worker"].id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [
      desired_count, # the controller's
      availability_zone_rebalancing,
    ]
  }

  depends_on = [aws_ecs_cluster_capacity_providers.processor, aws_iam_role_policy.execution, aws_iam_role_policy.worker, aws_ssm_parameter.policy, aws_s3_object.policy]
}

resource "aws_ecs_task_definition" "controller" {
  family                   = local.controller_image
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution["controller"].arn
  task_role_arn            = aws_iam_role.controller.arn
  skip_destroy             = true
  tags                     = local.tags

  dynamic "volume" {
    for_each = local.file_database ? ["data"] : []
    content {
      name = volume.value
    }
  }

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  container_definitions = jsonencode([{
    name                   = "controller"
    image                  = "${local.registry}/${local.controller_image}:${var.image_tag}"
    command                = ["run"]
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    stopTimeout            = 30
    mountPoints            = [for volume in local.file_database ? ["data"] : [] : { sourceVolume = volume, containerPath = "/data", readOnly = false }]
    environment            = [for name, value in local.controller_environment : { name = name, value = value }]
    secrets                = [for name, arn in local.controller_secrets : { name = name, valueFrom = arn }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    healthCheck = {
      command     = ["CMD", "/controller", "health"]
      interval    = 30
      timeout     = 10
      retries     = 3
      startPeriod = 180 # it may wait for the database, two minutes at the most
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.processor.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "controller"
        mode                  = "non-blocking"
        max-buffer-size       = "25m"
      }
    }
  }])
}

resource "aws_ecs_service" "controller" {
  count = var.create_services ? 1 : 0

  name                    = local.controller_name
  cluster                 = local.workers ? aws_ecs_cluster.processor[0].id : local.cluster_arn
  task_definition         = aws_ecs_task_definition.controller.arn
  desired_count           = var.controller_tasks
  launch_type             = local.emulated || !local.workers ? "FARGATE" : null # or else by the strategy below
  enable_execute_command  = var.enable_execute_command
  enable_ecs_managed_tags = !local.emulated
  propagate_tags          = "SERVICE"
  tags                    = local.tags

  # On demand: it must run when Spot takes the workers away. A cluster that is
  # not ours may lack capacity providers; the launch type works on every cluster.
  dynamic "capacity_provider_strategy" {
    for_each = local.emulated || !local.workers ? [] : ["FARGATE"]
    content {
      capacity_provider = capacity_provider_strategy.value
      weight            = 1
      base              = 0
    }
  }

  # Two at once are fine: one holds the lease, the other waits for it. Two with
  # a file each would both scale, so there the old one stops first.
  deployment_minimum_healthy_percent = local.file_database ? 0 : 100
  deployment_maximum_percent         = local.file_database ? 100 : 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = local.private_subnets
    security_groups  = [aws_security_group.task["controller"].id]
    assign_public_ip = false
  }

  lifecycle {
    ignore_changes = [availability_zone_rebalancing]
  }

  depends_on = [aws_ecs_cluster_capacity_providers.processor, aws_iam_role_policy.execution, aws_iam_role_policy.controller, aws_ssm_parameter.policy, aws_s3_object.policy]
}
