output "cluster" {
  description = "The ECS cluster's name."
  value       = local.cluster
}

output "worker_services" {
  description = "The worker services' names, by their short names."
  value       = local.worker_service_names
}

output "controller_service" {
  description = "The controller service's name."
  value       = local.controller_name
}

output "queue_urls" {
  description = "Where applications send to, by channel."
  value       = { for channel, queue in aws_sqs_queue.events : channel => queue.url }
}

output "queue_arns" {
  description = "The queues' ARNs, for the producers' policies (sqs:SendMessage)."
  value       = { for channel, queue in aws_sqs_queue.events : channel => queue.arn }
}

output "dead_letter_queue_urls" {
  description = "Where messages end that can never succeed, by channel."
  value       = { for channel, queue in aws_sqs_queue.dlq : channel => queue.url }
}

output "repository_urls" {
  description = "Where to push the images to, by image."
  value       = { for name, repository in aws_ecr_repository.image : name => repository.repository_url }
}

output "webhook_urls" {
  description = "Where Twilio posts to: inbound is for its console (the number's, or the messaging service's, incoming message); the worker names status with each text. Empty without webhooks."
  value = var.webhooks ? {
    inbound = "${aws_apigatewayv2_api.webhooks[0].api_endpoint}/twilio"
    status  = "${aws_apigatewayv2_api.webhooks[0].api_endpoint}/twilio/status"
  } : {}
}

output "log_group" {
  description = "The log group of both programs."
  value       = aws_cloudwatch_log_group.processor.name
}

output "policy_source" {
  description = "Where the controller reads its policies: --policy of every verb."
  value       = local.policy_source
}

output "task_role_arns" {
  description = "The programs' roles, for the policies of a database proxy, a key or a bucket."
  value = merge(
    { for name, role in aws_iam_role.worker : (name == "all" ? "worker" : "worker-${name}") => role.arn },
    { controller = aws_iam_role.controller.arn },
  )
}

output "security_group_ids" {
  description = "The tasks' security groups, for the database's inbound rule."
  value       = { for name, group in aws_security_group.task : name => group.id }
}

output "alarm_topic_arn" {
  description = "The SNS topic of the alarms: subscribe your pager or chat here."
  value       = aws_sns_topic.alarms.arn
}

output "ops_task_definition" {
  description = "The task definition of on-call commands; terraform/ops runs it. Empty for a controller alone."
  value       = one(aws_ecs_task_definition.ops[*].family)
}

output "controller_policy_json" {
  description = "The IAM policy of the controller's task role, to reuse it for a controller that you deploy yourself."
  value       = data.aws_iam_policy_document.controller.json
}

output "private_route_table_ids" {
  description = "The route tables of the private subnets, for the route to a peered database."
  value       = local.route_tables
}

output "private_subnet_ids" {
  description = "The subnets that tasks run in."
  value       = local.private_subnets
}

output "vpc_id" {
  description = "The VPC that tasks run in."
  value       = local.vpc_id
}
