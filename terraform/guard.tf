# Nothing that exists already may be taken over by accident. AWS answers "create
# queue X" and "create cluster X" with the existing X where there is one, and
# Terraform would then own it, and a later destroy would delete it.
#
# So each resource below is created with the tag acs-operator/existed-before,
# which says whether its name was in use at that moment. A postcondition stops
# the plan when it says "yes". ignore_changes keeps the tag as it was from then
# on, so a resource that is in the state already (created, imported, or made by
# an earlier version without the tag) always passes.

data "aws_sqs_queues" "existing" {
  count = local.workers ? 1 : 0

  queue_name_prefix = "${var.name}-"
}

data "aws_ecs_clusters" "existing" {
  count = local.workers ? 1 : 0
}

data "aws_cloudwatch_log_groups" "existing" {
  log_group_name_prefix = local.log_group
}

data "aws_iam_roles" "existing" {
  name_regex = "^${var.name}-(worker|controller)-execution"
}

locals {
  existing_names = concat(
    flatten([for found in data.aws_sqs_queues.existing : [for url in coalesce(found.queue_urls, []) : reverse(split("/", url))[0]]]),
    flatten([for found in data.aws_ecs_clusters.existing : [for arn in coalesce(found.cluster_arns, []) : reverse(split("/", arn))[0]]]),
    tolist(coalesce(data.aws_cloudwatch_log_groups.existing.log_group_names, [])),
    tolist(coalesce(data.aws_iam_roles.existing.names, [])),
  )

  name_is_taken = "exists in this account and is not in this Terraform state, so this apply would take it over. For a second environment set another name (name = \"${var.name}-staging\"). To take this one over on purpose, import it first (docs/deploy.md, Taking over what exists). If it was yours, check that Terraform reads the right state (backend, workspace)."
}
