# The policies that the controller and the workers follow: the files of
# policy_files, uploaded as one document by an apply. The files in the repository
# are the source; an edit of the parameter or object is followed too, and undone
# by the next apply.

locals {
  policy_files = (
    var.policy_files != null ? var.policy_files :
    var.scaling_policy_file != null ? [var.scaling_policy_file] :
    ["${path.module}/../config/scaling-policy.yaml", "${path.module}/policies/delivery-policy.yaml"]
  )
  # One set of files serves several environments: where a file uses the default
  # names of this module's resources, this environment's names take their place.
  policy_text = join("\n---\n", [
    for path in local.policy_files : local.workers ? replace(
      trimspace(file(path)),
      "/novaura-acs-(processor-cluster|communication-processor-worker-service|(?:sms|email|push)-events)/",
      "${var.name}-$1",
    ) : trimspace(file(path))
  ])
  policy_bytes = length(base64encode(local.policy_text)) * 3 / 4
  policy_store = var.policy_store != "auto" ? var.policy_store : local.policy_bytes <= 8192 ? "ssm" : "s3"

  policies          = [for document in split("\n---", "\n${replace(local.policy_text, "\r\n", "\n")}") : try(yamldecode(document), null)]
  scaling_policies  = [for policy in local.policies : policy if try(policy.kind == "ScalingPolicy", false)]
  delivery_policies = length([for policy in local.policies : policy if try(policy.kind == "DeliveryPolicy", false)])

  # What the ScalingPolicies name. Terraform needs the count to create a worker
  # service with (minTasks) and, for a controller alone, what it may touch.
  targets       = distinct([for policy in local.scaling_policies : { cluster = try(policy.spec.target.cluster, "-"), service = try(policy.spec.target.service, "-") }])
  policy_queues = distinct(flatten([for policy in local.scaling_policies : [for queue in try(policy.spec.queues, []) : try(queue.name, reverse(split("/", queue.url))[0])]]))
  policy_dlqs   = distinct(flatten([for policy in local.scaling_policies : [for queue in try(policy.spec.queues, []) : queue.deadLetterQueue if try(queue.deadLetterQueue, null) != null]]))
  min_tasks     = { for target in local.targets : target.service => max([for policy in local.scaling_policies : try(policy.spec.minTasks, 1) if try(policy.spec.target.service, "-") == target.service]...) }

  policy_key    = "scaling-policy.yaml"
  policy_source = local.policy_store == "ssm" ? "ssm://${local.policy_parameter}" : "s3://${local.policy_bucket}/${local.policy_key}"
  policy_action = local.policy_store == "ssm" ? "ssm:GetParameter" : "s3:GetObject"
  policy_arn    = local.policy_store == "ssm" ? "arn:${local.partition}:ssm:${local.region}:${local.account}:parameter${local.policy_parameter}" : "arn:${local.partition}:s3:::${local.policy_bucket}/${local.policy_key}"
}

check "scaling_policies_name_our_services" {
  assert {
    condition     = !local.workers || alltrue([for target in local.targets : contains(values(local.worker_service_names), target.service) && target.cluster == local.cluster])
    error_message = "A ScalingPolicy targets ${join(", ", [for target in local.targets : "${target.cluster}/${target.service}"])}, and this environment has ${join(", ", [for name in values(local.worker_service_names) : "${local.cluster}/${name}"])}: the controller may not scale the others. Correct spec.target in policy_files."
  }
  assert {
    condition     = !local.workers || alltrue([for name in values(local.worker_service_names) : contains([for target in local.targets : target.service], name)])
    error_message = "No ScalingPolicy targets one of ${join(", ", values(local.worker_service_names))}: it keeps the count it was created with. Add a ScalingPolicy to policy_files."
  }
  assert {
    condition     = !local.workers || local.delivery_policies == 1
    error_message = "policy_files has no DeliveryPolicy: the workers use the built-in one, without rate limits and quiet hours. Add one, for example terraform/policies/delivery-policy.yaml."
  }
}

resource "aws_ssm_parameter" "policy" {
  count = local.policy_store == "ssm" ? 1 : 0

  name        = local.policy_parameter
  description = "The policies of the ${var.name} controller and workers (policy_files)."
  type        = "String" # no secret: names, counts, and how alerts are routed
  tier        = local.policy_bytes > 4096 ? "Advanced" : "Standard"
  value       = local.policy_text
  tags        = local.tags

  lifecycle {
    precondition {
      condition     = local.policy_bytes <= 8192
      error_message = "The policies have ${ceil(local.policy_bytes)} bytes, and a parameter holds 8192: set policy_store = \"auto\" or \"s3\"."
    }
  }
}

resource "aws_s3_bucket" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket = local.policy_bucket
  tags   = local.tags
}

resource "aws_s3_bucket_public_access_block" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket                  = aws_s3_bucket.policy[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket = aws_s3_bucket.policy[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket = aws_s3_bucket.policy[0].id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms_key_arn == null ? "AES256" : "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
    bucket_key_enabled = var.kms_key_arn != null
  }
}

data "aws_iam_policy_document" "policy_bucket" {
  statement {
    sid       = "DenyWithoutTLS"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = ["arn:${local.partition}:s3:::${local.policy_bucket}", "arn:${local.partition}:s3:::${local.policy_bucket}/*"]
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
}

resource "aws_s3_bucket_policy" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket = aws_s3_bucket.policy[0].id
  policy = data.aws_iam_policy_document.policy_bucket.json

  depends_on = [aws_s3_bucket_public_access_block.policy]
}

resource "aws_s3_object" "policy" {
  count = local.policy_store == "s3" ? 1 : 0

  bucket       = aws_s3_bucket.policy[0].id
  key          = local.policy_key
  content      = local.policy_text
  content_type = "application/yaml"
  tags         = local.tags

  depends_on = [aws_s3_bucket_versioning.policy, aws_s3_bucket_server_side_encryption_configuration.policy]
}
