# What ECS needs to start a task (execution) and what the program in it may do
# (task), for the worker, the controller and the on-call commands. There is no
# iam:PassRole anywhere: whoever can pass a role can run anything as that role.
# make iam-proof compares these policies with the calls that are really made.

data "aws_iam_policy_document" "tasks_trust" {
  statement {
    sid     = "TasksOfThisAccount"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:ecs:${local.region}:${local.account}:*"]
    }
  }
}

# Execution.

resource "aws_iam_role" "execution" {
  for_each = toset(local.programs)

  name               = "${var.name}-${each.key}-execution${local.global_suffix}"
  description        = "Starts ${each.key} tasks: pulls the image, opens the log stream, reads the secrets."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = merge(local.tags, { "acs-operator/existed-before" = contains(local.existing_names, "${var.name}-${each.key}-execution${local.global_suffix}") ? "yes" : "no" })

  lifecycle {
    ignore_changes = [tags["acs-operator/existed-before"]] # guard.tf
    postcondition {
      condition     = try(self.tags["acs-operator/existed-before"], "no") == "no"
      error_message = "The role ${var.name}-${each.key}-execution${local.global_suffix} ${local.name_is_taken}"
    }
  }
}

locals {
  execution = {
    worker     = { repository = local.worker_image_arn, prefix = "communication-processor-worker", secrets = local.worker_secret_resources }
    controller = { repository = local.controller_repo_arn, prefix = "controller", secrets = local.controller_secret_resources }
  }
}

data "aws_iam_policy_document" "execution" {
  for_each = {
    for program, needs in local.execution : program => needs if contains(local.programs, program)
  }

  statement {
    sid       = "LogInToTheRegistry" # has no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    sid       = "PullTheImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [each.value.repository]
  }
  statement {
    sid       = "WriteTheLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${local.log_group_arn}:log-stream:${each.value.prefix}/*"]
  }
  dynamic "statement" {
    for_each = length(each.value.secrets) > 0 ? [1] : []
    content {
      sid       = "ReadTheSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = each.value.secrets
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn != null ? [1] : []
    content {
      sid       = "DecryptTheSecrets"
      actions   = ["kms:Decrypt"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}", "ecr.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role_policy" "execution" {
  for_each = aws_iam_role.execution

  name   = "execution"
  role   = each.value.name
  policy = data.aws_iam_policy_document.execution[each.key].json
}

# The worker: one role a service, for its channels' queues.

resource "aws_iam_role" "worker" {
  for_each = local.worker_services

  name               = "${var.name}-worker-task${each.key == "all" ? "" : "-${each.key}"}${local.global_suffix}"
  description        = "What a worker may do: work its queues, read its secrets."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "worker" {
  for_each = local.worker_channels

  statement {
    sid = "WorkTheQueues"
    actions = [
      "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes",
      "sqs:SendMessage", # a message that was parked goes back on its queue when it is due
    ]
    resources = [for channel in each.value : local.queue_arns[channel]]
  }
  statement {
    sid       = "PutAsideDeadLetters"
    actions   = ["sqs:GetQueueUrl", "sqs:SendMessage"]
    resources = [for channel in each.value : local.dlq_arns[channel]]
  }
  statement {
    sid       = "ReadRotatedSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.worker_secret_resources
  }
  dynamic "statement" {
    for_each = local.delivery_policies == 1 ? [1] : []
    content {
      sid       = "ReadTheDeliveryPolicy"
      actions   = [local.policy_action]
      resources = [local.policy_arn]
    }
  }
  # Asked of ECS's agent, which acts with this role:
  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
  statement {
    sid       = "ProtectItselfWhileBusy"
    actions   = ["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.cluster}/*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }
  dynamic "statement" {
    for_each = contains(each.value, "email") && length(var.ses_identity_arns) > 0 ? [1] : []
    content {
      sid       = "SendMails"
      actions   = ["ses:SendEmail", "ses:SendRawEmail"] # raw: what has headers or attachments, though the call is SendEmail too
      resources = concat(var.ses_identity_arns, var.webhooks ? [local.mail_set_arn] : [])
    }
  }
  dynamic "statement" {
    for_each = contains(each.value, "email") && length(var.attachment_prefixes) > 0 ? [1] : []
    content {
      sid       = "ReadAttachments"
      actions   = ["s3:GetObject"]
      resources = [for prefix in var.attachment_prefixes : "arn:${local.partition}:s3:::${trimprefix(prefix, "s3://")}*"]
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn != null ? [1] : []
    content {
      sid       = "UseTheKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in ["secretsmanager", "sqs", "s3"] : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role_policy" "worker" {
  for_each = aws_iam_role.worker

  name   = "worker"
  role   = each.value.name
  policy = data.aws_iam_policy_document.worker[each.key].json
}

# The controller.

resource "aws_iam_role" "controller" {
  name               = "${var.name}-controller-task${local.global_suffix}"
  description        = "What the controller may do: read depths, ages and tasks, set the desired count of the worker services."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "controller" {
  statement {
    sid       = "ScaleTheWorkers"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = local.scaled_arns
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = local.scaled_clusters
    }
  }
  # Why tasks stopped, and how many are protected while they finish their messages.
  statement {
    sid       = "ListTheTasks" # takes no task as its resource, only the cluster as its condition
    actions   = ["ecs:ListTasks"]
    resources = ["*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = local.scaled_clusters
    }
  }
  statement {
    sid       = "ReadTheTasks"
    actions   = ["ecs:DescribeTasks", "ecs:GetTaskProtection"]
    resources = [for arn in local.scaled_clusters : "${replace(arn, ":cluster/", ":task/")}/*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = local.scaled_clusters
    }
  }
  statement {
    sid       = "ReadDepths"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = [for name in concat(local.watched_queues, local.watched_dlqs) : "${local.sqs_arn}:${name}"]
  }
  statement {
    sid       = "ReadMetrics" # has no resource and no condition: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    actions   = ["cloudwatch:GetMetricData"]
    resources = ["*"]
  }
  statement {
    sid       = "SeeWhoElseScales" # has no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationautoscaling.html
    actions   = ["application-autoscaling:DescribeScalableTargets"]
    resources = ["*"]
  }
  statement {
    sid       = "ReadThePolicies"
    actions   = [local.policy_action]
    resources = [local.policy_arn]
  }
  # Receivers of alerts, where an AlertPolicy has them.
  dynamic "statement" {
    for_each = length(var.alert_topic_arns) > 0 ? [1] : []
    content {
      sid       = "PublishAlerts"
      actions   = ["sns:Publish"]
      resources = var.alert_topic_arns
    }
  }
  dynamic "statement" {
    for_each = length(var.alert_ses_identity_arns) > 0 ? [1] : []
    content {
      sid       = "MailAlerts"
      actions   = ["ses:SendEmail"]
      resources = var.alert_ses_identity_arns
    }
  }
  dynamic "statement" {
    for_each = length(local.controller_secrets) > 0 ? [1] : []
    content {
      sid       = "ReadRotatedSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.controller_secret_resources
    }
  }
  dynamic "statement" {
    for_each = var.kms_key_arn != null ? [1] : []
    content {
      sid       = "UseTheKey"
      actions   = ["kms:Decrypt"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}", "s3.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
  # A topic of alerts that is encrypted with the same key.
  dynamic "statement" {
    for_each = var.kms_key_arn != null && length(var.alert_topic_arns) > 0 ? [1] : []
    content {
      sid       = "UseTheKeyOfTopics"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["sns.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role_policy" "controller" {
  name   = "controller"
  role   = aws_iam_role.controller.name
  policy = data.aws_iam_policy_document.controller.json
}

# What worker redrive needs: read and delete dead letters, and send them to their
# queues again. ops.tf has the task that runs as this role.

resource "aws_iam_role" "ops" {
  count = local.workers ? 1 : 0

  name               = "${var.name}-ops-task${local.global_suffix}"
  description        = "What worker redrive may do: read and delete dead letters, and send them again."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "ops" {
  count = local.workers ? 1 : 0

  statement {
    sid       = "LookAtTheQueuesAndSendToThem"
    actions   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = values(local.queue_arns)
  }
  statement {
    sid       = "WorkOnDeadLetters"
    actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = values(local.dlq_arns)
  }
  statement {
    sid       = "ReadRotatedSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.worker_secret_resources
  }
  dynamic "statement" {
    for_each = var.kms_key_arn != null ? [1] : []
    content {
      sid       = "UseTheKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = [for service in ["secretsmanager", "sqs"] : "${service}.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role_policy" "ops" {
  count = local.workers ? 1 : 0

  name   = "ops"
  role   = aws_iam_role.ops[0].name
  policy = data.aws_iam_policy_document.ops[0].json
}
