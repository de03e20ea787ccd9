# On-call commands run as tasks of their own, since the images have no shell and
# a read-only root file system. terraform/ops starts one and prints its log. Most
# commands run with the task definition of their service; redrive and deadletters
# need more rights than a worker has, so they have this one.

locals {
  ops_service = contains(keys(local.worker_services), "all") ? "all" : try(sort(keys(local.worker_services))[0], "")
  ops_environment = local.workers ? merge(
    { for name, value in local.worker_environment[local.ops_service] : name => value if name != "WORKER_POLICY" },
    { for channel, queue in aws_sqs_queue.events : "${upper(channel)}_QUEUE_URL" => queue.url },
    { WORKER_TYPE = "all", WORKER_SERVICE = "${var.name}-ops" },
  ) : {}
}

resource "aws_ecs_task_definition" "ops" {
  count = local.workers ? 1 : 0

  family                   = "${var.name}-ops"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution["worker"].arn
  task_role_arn            = aws_iam_role.ops[0].arn
  skip_destroy             = true
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  container_definitions = jsonencode([{
    name                   = "ops"
    image                  = "${local.registry}/${local.worker_image}:${var.image_tag}"
    command                = ["doctor"]
    essential              = true
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    environment            = [for name, value in local.ops_environment : { name = name, value = value }]
    secrets                = [for name, arn in local.worker_secrets : { name = name, valueFrom = arn }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] } }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.processor.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "communication-processor-worker" # the execution role writes below this prefix only
      }
    }
  }])
}
