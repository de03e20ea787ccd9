# One page: does anything wait, do the workers keep up, does the controller run.

locals {
  shown_services   = concat(local.scaled_services, [{ cluster = local.cluster, service = local.controller_name }])
  dashboard_queues = sort(local.watched_queues)
  dashboard_widgets = concat(
    [
      {
        title  = "Oldest message (s): the objective is the policy's maxAge"
        stat   = "Maximum"
        series = [for name in local.dashboard_queues : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", name]]
      },
      {
        title  = "Messages waiting"
        stat   = "Maximum"
        series = [for name in local.dashboard_queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      },
      {
        title  = "Messages in flight"
        stat   = "Maximum"
        series = [for name in local.dashboard_queues : ["AWS/SQS", "ApproximateNumberOfMessagesNotVisible", "QueueName", name]]
      },
      {
        title = "Sent and settled (per minute)"
        stat  = "Sum"
        series = concat(
          [for name in local.dashboard_queues : ["AWS/SQS", "NumberOfMessagesSent", "QueueName", name]],
          [for name in local.dashboard_queues : ["AWS/SQS", "NumberOfMessagesDeleted", "QueueName", name]],
        )
      },
      {
        title  = "Dead letters"
        stat   = "Maximum"
        series = [for name in sort(local.watched_dlqs) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      },
      {
        title  = "CPU of the services (%)"
        stat   = "Average"
        series = [for one in local.shown_services : ["AWS/ECS", "CPUUtilization", "ClusterName", one.cluster, "ServiceName", one.service]]
      },
      {
        title  = "Tasks running (as many as report their CPU)"
        stat   = "SampleCount"
        series = [for one in local.shown_services : ["AWS/ECS", "CPUUtilization", "ClusterName", one.cluster, "ServiceName", one.service]]
      },
      {
        title  = "The controller's heartbeat (ticks a minute)"
        stat   = "SampleCount"
        series = [[local.log_metrics, "ControllerHeartbeat"]]
      },
    ],
    [for title in local.workers ? ["Failures (log lines Error processing)"] : [] : {
      title  = title
      stat   = "Sum"
      series = [[local.log_metrics, "ErrorProcessing"]]
    }],
  )
}

resource "aws_cloudwatch_dashboard" "processor" {
  dashboard_name = "${var.name}${local.global_suffix}"
  dashboard_body = jsonencode({
    start          = "-PT3H"
    periodOverride = "inherit"
    widgets = [
      for index, widget in local.dashboard_widgets : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          stat    = widget.stat
          period  = 60
          view    = "timeSeries"
          metrics = widget.series
          yAxis   = { left = { min = 0 } }
        }
      }
    ]
  })
}
