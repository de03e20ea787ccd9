# Secrets are created and rotated elsewhere; Terraform knows only their ARNs. A
# task gets each one twice: its value at the start (secrets), and its ARN as
# NAME_ARN, so that the program reads it again when the value is rejected, and a
# rotation needs no restart. No value is in the state or in a task definition.

locals {
  # What is absent must be known in a plan that creates the secrets themselves,
  # so it is not asked of an ARN where it can be avoided.
  shared_secrets = merge(
    local.file_database ? {} : { DB_PASSWORD = var.db_password_arn },
    local.workers || var.twilio_credentials_arn != null ? { TWILIO_CREDENTIALS = var.twilio_credentials_arn } : {},
  )
  worker_secrets     = merge(var.worker_secrets, local.shared_secrets)
  controller_secrets = merge(var.controller_secrets, local.shared_secrets)

  # An ARN may come with :KEY:VERSION-STAGE:VERSION-ID behind it (ECS's form,
  # which the programs understand too); IAM takes the seven parts before.
  worker_secret_arns     = distinct([for arn in values(local.worker_secrets) : join(":", slice(split(":", coalesce(arn, "::::::missing")), 0, 7))])
  controller_secret_arns = distinct([for arn in values(local.controller_secrets) : join(":", slice(split(":", coalesce(arn, "::::::missing")), 0, 7))])

  # The full ARN ends in - and six characters, and the one that people copy
  # often does not: allow both, and no longer name.
  worker_secret_resources     = flatten([for arn in local.worker_secret_arns : [arn, "${arn}-??????"]])
  controller_secret_resources = flatten([for arn in local.controller_secret_arns : [arn, "${arn}-??????"]])
}
