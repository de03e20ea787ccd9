# One page: does anything wait, do the workers keep up, does the controller live.

locals {
  dashboard_queues = sort(values(local.queue_names))
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
        series = [for name in sort(values(local.dlq_names)) : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", name]]
      },
      {
        title  = "Failures (log lines Error processing)"
        stat   = "Sum"
        series = [["ACS/Logs", "ErrorProcessing"]]
      },
      {
        title  = "CPU of the services (%)"
        stat   = "Average"
        series = [for name in concat(values(local.worker_service_names), [local.controller_name]) : ["AWS/ECS", "CPUUtilization", "ClusterName", local.cluster, "ServiceName", name]]
      },
      {
        title  = "Tasks running (as many as report their CPU)"
        stat   = "SampleCount"
        series = [for name in concat(values(local.worker_service_names), [local.controller_name]) : ["AWS/ECS", "CPUUtilization", "ClusterName", local.cluster, "ServiceName", name]]
      },
      {
        title  = "The controller's heartbeat (ticks a minute)"
        stat   = "SampleCount"
        series = [["ACS/Controller", "Heartbeat"]]
      },
    ],
  )
}

resource "aws_cloudwatch_dashboard" "processor" {
  dashboard_name = "novaura-acs"
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
