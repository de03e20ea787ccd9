# Four roles: what ECS needs to start a task (execution) and what the program in
# it may do (task), each for the worker and for the controller. There is no
# iam:PassRole anywhere: who could pass a role could run anything as it.
# make iam-proof holds these policies against the calls that are really made.

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
  for_each = toset(["worker", "controller"])

  name               = "novaura-acs-${each.key}-execution"
  description        = "Starts ${each.key} tasks: pulls the image, opens the log stream, reads the secrets."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "execution" {
  for_each = {
    worker     = { repository = local.worker_image_arn, prefix = "communication-processor-worker", secrets = local.worker_secret_resources }
    controller = { repository = local.controller_repo_arn, prefix = "controller", secrets = local.controller_secret_resources }
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
  statement {
    sid       = "ReadTheSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = each.value.secrets
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
  for_each = var.worker_services

  name               = each.key == "all" ? "novaura-acs-worker-task" : "novaura-acs-worker-task-${each.key}"
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
        values   = ["secretsmanager.${local.region}.${data.aws_partition.current.dns_suffix}", "sqs.${local.region}.${data.aws_partition.current.dns_suffix}"]
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
  name               = "novaura-acs-controller-task"
  description        = "What the controller may do: read depths, ages and tasks, set the desired count of the worker services."
  assume_role_policy = data.aws_iam_policy_document.tasks_trust.json
  tags               = local.tags
}

data "aws_iam_policy_document" "controller" {
  statement {
    sid       = "SteerTheWorkers"
    actions   = ["ecs:DescribeServices", "ecs:UpdateService"]
    resources = local.worker_service_arns
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
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
      values   = [local.cluster_arn]
    }
  }
  statement {
    sid       = "ReadTheTasks"
    actions   = ["ecs:DescribeTasks", "ecs:GetTaskProtection"]
    resources = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.cluster}/*"]
    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [local.cluster_arn]
    }
  }
  statement {
    sid       = "ReadDepths"
    actions   = ["sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    resources = concat(values(local.queue_arns), values(local.dlq_arns))
  }
  statement {
    sid       = "ReadMetrics" # has no resource and no condition: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
    actions   = ["cloudwatch:GetMetricData"]
    resources = ["*"]
  }
  statement {
    sid       = "SeeWhoElseSteers" # has no resource: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsapplicationautoscaling.html
    actions   = ["application-autoscaling:DescribeScalableTargets"]
    resources = ["*"]
  }
  dynamic "statement" {
    for_each = var.policy_store == "ssm" ? [1] : []
    content {
      sid       = "ReadThePolicies"
      actions   = ["ssm:GetParameter"]
      resources = ["arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${local.policy_parameter}"]
    }
  }
  dynamic "statement" {
    for_each = var.policy_store == "s3" ? [1] : []
    content {
      sid       = "ReadThePolicies"
      actions   = ["s3:GetObject"]
      resources = ["arn:${local.partition}:s3:::${local.policy_bucket}/${local.policy_key}"]
    }
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
  statement {
    sid       = "ReadRotatedSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.controller_secret_resources
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
