# Three standard queues and their dead-letter queues.

locals {
  redrive_policies = { for channel, dlq in aws_sqs_queue.dlq : channel => jsonencode({ deadLetterTargetArn = dlq.arn, maxReceiveCount = var.max_receive_count }) }
}

resource "aws_sqs_queue" "dlq" {
  for_each = local.dlq_names

  name                      = each.value
  message_retention_seconds = 1209600 # counted from the first send, so the longest there is
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
  tags                      = merge(local.tags, { Channel = each.key, "acs-operator/existed-before" = contains(local.existing_names, each.value) ? "yes" : "no" })

  lifecycle {
    prevent_destroy = true                                  # dead letters are messages too: docs/deploy.md, Destroy
    ignore_changes  = [tags["acs-operator/existed-before"]] # guard.tf
    postcondition {
      condition     = try(self.tags["acs-operator/existed-before"], "no") == "no"
      error_message = "The queue ${each.value} ${local.name_is_taken}"
    }
  }
}

resource "aws_sqs_queue" "events" {
  for_each = local.queue_names

  name                       = each.value
  visibility_timeout_seconds = var.visibility_timeout
  message_retention_seconds  = var.message_retention
  receive_wait_time_seconds  = 20 # long polling, also for those who don't ask for it
  sqs_managed_sse_enabled    = var.kms_key_arn == null ? true : null
  kms_master_key_id          = var.kms_key_arn
  redrive_policy             = local.redrive_policies[each.key]
  tags                       = merge(local.tags, { Channel = each.key, "acs-operator/existed-before" = contains(local.existing_names, each.value) ? "yes" : "no" })

  lifecycle {
    prevent_destroy = true # with its messages: docs/deploy.md, Destroy
    ignore_changes = [
      redrive_policy,                      # see below; and moto returns it with other white space
      tags["acs-operator/existed-before"], # guard.tf
    ]
    postcondition {
      condition     = try(self.tags["acs-operator/existed-before"], "no") == "no"
      error_message = "The queue ${each.value} ${local.name_is_taken}"
    }
  }
}

# Set with the queue, so that it never runs without; kept here from then on.
resource "aws_sqs_queue_redrive_policy" "events" {
  for_each = local.emulated ? {} : local.queue_names

  queue_url      = aws_sqs_queue.events[each.key].id
  redrive_policy = local.redrive_policies[each.key]
}

# A dead-letter queue takes the letters of its own queue alone.
resource "aws_sqs_queue_redrive_allow_policy" "dlq" {
  for_each = local.emulated ? {} : local.dlq_names

  queue_url = aws_sqs_queue.dlq[each.key].id
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.events[each.key].arn]
  })
}

data "aws_iam_policy_document" "queue" {
  for_each = merge(
    { for channel, arn in local.queue_arns : channel => { arn = arn, channel = channel, dlq = false } },
    { for channel, arn in local.dlq_arns : "${channel}-dlq" => { arn = arn, channel = channel, dlq = true } },
  )

  statement {
    sid       = "DenyWithoutTLS"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [each.value.arn]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = !each.value.dlq && length(var.producer_arns) > 0 ? [1] : []
    content {
      sid       = "ProducersOfOtherAccounts"
      actions   = ["sqs:SendMessage", "sqs:GetQueueUrl"]
      resources = [each.value.arn]
      principals {
        type        = "AWS"
        identifiers = var.producer_arns
      }
    }
  }

  # SES's notifications come through this topic and no other.
  dynamic "statement" {
    for_each = var.webhooks && !each.value.dlq && each.value.channel == "email" ? [1] : []
    content {
      sid       = "NotificationsOfMails"
      actions   = ["sqs:SendMessage"]
      resources = [each.value.arn]
      principals {
        type        = "Service"
        identifiers = ["sns.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [local.mail_topic_arn]
      }
    }
  }
}

resource "aws_sqs_queue_policy" "events" {
  for_each = aws_sqs_queue.events

  queue_url = each.value.id
  policy    = data.aws_iam_policy_document.queue[each.key].json
}

resource "aws_sqs_queue_policy" "dlq" {
  for_each = aws_sqs_queue.dlq

  queue_url = each.value.id
  policy    = data.aws_iam_policy_document.queue["${each.key}-dlq"].json
}
