# What the controller cannot report itself: that it is gone, that nobody looks
# at the dead letters, that AWS gives no tasks. Everything else it reports by
# the AlertPolicy, sooner and with a reason.

resource "aws_sns_topic" "alarms" {
  name              = "novaura-acs-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "alarms_topic" {
  statement {
    sid       = "DenyWithoutTLS"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:novaura-acs-alarms"]
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
  statement {
    sid       = "AlarmsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:novaura-acs-alarms"]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm:novaura-acs-*"]
    }
  }
  statement {
    sid       = "EventsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:novaura-acs-alarms"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/novaura-acs-service-trouble"]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms_topic.json
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# The controller writes Heartbeat with each tick; no data for five minutes is
# the alarm.
resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  count = var.controller_tasks > 0 ? 1 : 0

  alarm_name          = "novaura-acs-controller-heartbeat"
  alarm_description   = "The controller has not reconciled for five minutes: the worker services keep their count, and nobody scales them. See docs/deploy.md, When an alarm rings."
  namespace           = "ACS/Controller"
  metric_name         = "Heartbeat"
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.dlq_names

  alarm_name          = "novaura-acs-${each.key}-dead-letters"
  alarm_description   = "${each.value} holds messages: worker events tells why, worker redrive sends them again."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching" # SQS sends nothing of a queue that sleeps
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  for_each = local.queue_names

  alarm_name          = "novaura-acs-${each.key}-oldest-message"
  alarm_description   = "The oldest message of ${each.value} waits longer than ${var.oldest_age_alarm_seconds} s: more than the controller could mend."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_age_alarm_seconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

# Ten minutes is longer than a deployment or Spot's replacement takes.
resource "aws_cloudwatch_metric_alarm" "running_tasks" {
  for_each = var.container_insights == "disabled" ? {} : merge(local.worker_service_names, { controller = local.controller_name })

  alarm_name          = "novaura-acs-${each.key}-running-tasks"
  alarm_description   = "${each.value} runs fewer tasks than desired for ten minutes: no capacity, an image that cannot be pulled, or a task that dies at its start."
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  evaluation_periods  = 10
  datapoints_to_alarm = 10
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags

  metric_query {
    id          = "missing"
    expression  = "desired - running"
    label       = "tasks missing"
    return_data = true
  }
  dynamic "metric_query" {
    for_each = { desired = "DesiredTaskCount", running = "RunningTaskCount" }
    content {
      id = metric_query.key
      metric {
        namespace   = "ECS/ContainerInsights"
        metric_name = metric_query.value
        dimensions  = { ClusterName = local.cluster, ServiceName = each.value }
        period      = 60
        stat        = "Average"
      }
    }
  }
}

# The same trouble as ECS tells it, without Container Insights and sooner.
resource "aws_cloudwatch_event_rule" "service_trouble" {
  name        = "novaura-acs-service-trouble"
  description = "ECS cannot start or place tasks of our services, or gave up a deployment."
  tags        = local.tags

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Service Action", "ECS Deployment State Change"]
    resources   = [for name in concat(values(local.worker_service_names), [local.controller_name]) : "arn:${local.partition}:ecs:${local.region}:${local.account}:service/${local.cluster}/${name}"]
    detail      = { eventName = ["SERVICE_TASK_START_IMPAIRED", "SERVICE_TASK_PLACEMENT_FAILURE", "SERVICE_TASK_CONFIGURATION_FAILURE", "SERVICE_DEPLOYMENT_FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "service_trouble" {
  rule      = aws_cloudwatch_event_rule.service_trouble.name
  target_id = "alarms"
  arn       = aws_sns_topic.alarms.arn
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  alarm_name          = "novaura-acs-error-processing"
  alarm_description   = "More than ${var.failure_alarm_count} messages failed within five minutes (log lines Error processing): look at the saved query failures by reason."
  namespace           = aws_cloudwatch_log_metric_filter.failures.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.failures.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.failure_alarm_count
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags
}

resource "aws_budgets_budget" "monthly" {
  count = var.monthly_budget_usd != null ? 1 : 0

  name         = "novaura-acs"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:Project$novaura-acs"]
  }

  dynamic "notification" {
    for_each = length(var.alarm_emails) > 0 ? { ACTUAL = 80, FORECASTED = 100 } : {}
    content {
      notification_type          = notification.key
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      subscriber_email_addresses = var.alarm_emails
    }
  }
}
