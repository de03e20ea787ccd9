# The policies that the controller follows: config/scaling-policy.yaml, uploaded
# by an apply. The file in the repository is the truth; an edit of the parameter
# or object is followed too, and undone by the next apply.

locals {
  policy_key    = "scaling-policy.yaml"
  policy_source = var.policy_store == "ssm" ? "ssm://${local.policy_parameter}" : "s3://${local.policy_bucket}/${local.policy_key}"
}

resource "aws_ssm_parameter" "policy" {
  count = var.policy_store == "ssm" ? 1 : 0

  name        = local.policy_parameter
  description = "The policies of the novaura-acs controller (config/scaling-policy.yaml)."
  type        = "String" # no secret: names, counts, and how alerts are routed
  tier        = length(local.policy_text) > 4096 ? "Advanced" : "Standard"
  value       = local.policy_text
  tags        = local.tags

  lifecycle {
    precondition {
      condition     = length(local.policy_text) <= 8192
      error_message = "The policies are longer than the 8192 characters of a parameter: set policy_store = \"s3\"."
    }
    precondition {
      condition     = alltrue([for policy in local.policies : policy != null || length(local.policies) == 1])
      error_message = "scaling_policy_file is not YAML that can be read here: controller validate FILE names every mistake."
    }
  }
}

resource "aws_s3_bucket" "policy" {
  count = var.policy_store == "s3" ? 1 : 0

  bucket = local.policy_bucket
  tags   = local.tags
}

resource "aws_s3_bucket_public_access_block" "policy" {
  count = var.policy_store == "s3" ? 1 : 0

  bucket                  = aws_s3_bucket.policy[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "policy" {
  count = var.policy_store == "s3" ? 1 : 0

  bucket = aws_s3_bucket.policy[0].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "policy" {
  count = var.policy_store == "s3" ? 1 : 0

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
  count = var.policy_store == "s3" ? 1 : 0

  bucket = aws_s3_bucket.policy[0].id
  policy = data.aws_iam_policy_document.policy_bucket.json

  depends_on = [aws_s3_bucket_public_access_block.policy]
}

resource "aws_s3_object" "policy" {
  count = var.policy_store == "s3" ? 1 : 0

  bucket       = aws_s3_bucket.policy[0].id
  key          = local.policy_key
  content      = local.policy_text
  content_type = "application/yaml"
  tags         = local.tags

  depends_on = [aws_s3_bucket_versioning.policy, aws_s3_bucket_server_side_encryption_configuration.policy]
}
