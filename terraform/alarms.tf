# What the controller cannot report itself: that it does not run, that nobody
# looks at the dead letters, that AWS starts no tasks. The AlertPolicy reports
# everything else, sooner and with a reason.

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "alarms_topic" {
  statement {
    sid       = "DenyWithoutTLS"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}-alarms"]
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
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}-alarms"]
    principals {
      type        = "Service"
      identifiers = ["cloudwatch.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:cloudwatch:${local.region}:${local.account}:alarm:${var.name}-*"]
    }
  }
  statement {
    sid       = "EventsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = ["arn:${local.partition}:sns:${local.region}:${local.account}:${var.name}-alarms"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = ["arn:${local.partition}:events:${local.region}:${local.account}:rule/${var.name}-service-trouble"]
    }
  }
}

resource "aws_sns_topic_policy" "alarms" {
  arn    = aws_sns_topic.alarms.arn
  policy = data.aws_iam_policy_document.alarms_topic.json
}

# A warning of every plan and apply, until somebody is reached.
check "alarms_reach_somebody" {
  assert {
    condition     = length(var.alarm_emails) > 0 || var.alarms_subscribed_elsewhere
    error_message = "The alarms reach nobody: set alarm_emails = [\"oncall@example.com\"], or subscribe your pager or chat to the output alarm_topic_arn and set alarms_subscribed_elsewhere = true."
  }
}

resource "aws_sns_topic_subscription" "alarms" {
  for_each = toset(var.alarm_emails)

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

# The controller writes a Heartbeat line each minute, which logs.tf counts; none
# for five minutes is the alarm. It exists only while the controller should run.
resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  count = var.create_services && var.controller_tasks > 0 ? 1 : 0

  alarm_name          = "${var.name}-controller-heartbeat"
  alarm_description   = "The controller has not reconciled for five minutes: the worker services keep their count, and nothing scales them. See docs/deploy.md, When an alarm rings."
  namespace           = aws_cloudwatch_log_metric_filter.heartbeat.metric_transformation[0].namespace
  metric_name         = aws_cloudwatch_log_metric_filter.heartbeat.metric_transformation[0].name
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
  tags                = local.tags

  depends_on = [aws_ecs_service.controller]
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = local.dlq_names

  alarm_name          = "${var.name}-${each.key}-dead-letters"
  alarm_description   = "${each.value} holds messages: worker events says why, worker redrive sends them again (docs/deploy.md, On call)."
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

  alarm_name          = "${var.name}-${each.key}-oldest-message"
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

  alarm_name          = "${var.name}-${each.key}-running-tasks"
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
  name        = "${var.name}-service-trouble"
  description = "ECS cannot start or place tasks of our services, or gave up a deployment."
  tags        = local.tags

  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Service Action", "ECS Deployment State Change"]
    resources   = concat(local.scaled_arns, ["${local.ecs_arn}:service/${local.cluster}/${local.controller_name}"])
    detail      = { eventName = ["SERVICE_TASK_START_IMPAIRED", "SERVICE_TASK_PLACEMENT_FAILURE", "SERVICE_TASK_CONFIGURATION_FAILURE", "SERVICE_DEPLOYMENT_FAILED"] }
  })
}

resource "aws_cloudwatch_event_target" "service_trouble" {
  rule      = aws_cloudwatch_event_rule.service_trouble.name
  target_id = "alarms"
  arn       = aws_sns_topic.alarms.arn
}

resource "aws_cloudwatch_metric_alarm" "failures" {
  count = local.workers ? 1 : 0

  alarm_name          = "${var.name}-error-processing"
  alarm_description   = "More than ${var.failure_alarm_count} messages failed within five minutes (log lines Error processing): look at the saved query failures by reason."
  namespace           = local.log_metrics
  metric_name         = aws_cloudwatch_log_metric_filter.failures[0].metric_transformation[0].name
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

  name         = "${var.name}${local.global_suffix}"
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"
  tags         = local.tags

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:Project$$${var.name}"]
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
