# One log group, as the predecessor had, and what is asked of it.

resource "aws_cloudwatch_log_group" "processor" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
  tags              = merge(local.tags, { "acs-operator/existed-before" = contains(local.existing_names, local.log_group) ? "yes" : "no" })

  lifecycle {
    ignore_changes = [tags["acs-operator/existed-before"]] # guard.tf
    postcondition {
      condition     = try(self.tags["acs-operator/existed-before"], "no") == "no"
      error_message = "The log group ${local.log_group} ${local.name_is_taken}"
    }
  }
}

# The predecessor's phrase, at every log level.
resource "aws_cloudwatch_log_metric_filter" "failures" {
  count = local.workers ? 1 : 0

  name           = "${var.name}-error-processing"
  log_group_name = aws_cloudwatch_log_group.processor.name
  pattern        = "\"Error processing\""

  metric_transformation {
    name          = "ErrorProcessing"
    namespace     = local.log_metrics
    value         = "1"
    default_value = "0"
  }
}

# The controller's heartbeat of this environment alone: its own metric has no
# dimension, so another environment's controller would keep the alarm quiet.
resource "aws_cloudwatch_log_metric_filter" "heartbeat" {
  name           = "${var.name}-controller-heartbeat"
  log_group_name = aws_cloudwatch_log_group.processor.name
  pattern        = "{ $.Heartbeat = 1 }"

  metric_transformation {
    name      = "ControllerHeartbeat"
    namespace = local.log_metrics
    value     = "1"
  }
}

resource "aws_cloudwatch_query_definition" "saved" {
  for_each = local.emulated ? {} : {
    "failures by reason"    = "fields @timestamp, msg, error_code, error | filter msg like /Error processing/ | stats count(*) as failures by error_code | sort failures desc"
    "one message's way"     = "fields @timestamp, @logStream, msg, status, error_code | filter id = 'PUT THE MESSAGE ID HERE' | sort @timestamp asc"
    "batches a minute"      = "filter msg like /Processed \\d+, Failed \\d+, Deleted \\d+/ | parse msg 'Processed *, Failed *, Deleted *' as processed, failed, deleted | stats sum(processed), sum(failed), sum(deleted) by bin(1m)"
    "decisions and reasons" = "fields @timestamp, policy, current, desired, limited_by, reason | filter @logStream like /^controller/ and ispresent(desired) | sort @timestamp desc | limit 200"
    "warnings and errors"   = "fields @timestamp, @logStream, level, msg, error | filter level in ['WARN', 'ERROR'] | sort @timestamp desc | limit 200"
    "starts and stops"      = "fields @timestamp, @logStream, msg, version | filter msg in ['worker started', 'worker stopped', 'controller started'] | sort @timestamp desc | limit 200"
  }

  name            = "${var.name}/${each.key}"
  log_group_names = [aws_cloudwatch_log_group.processor.name]
  query_string    = each.value
}
