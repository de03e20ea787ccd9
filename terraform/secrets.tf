# Secrets are made and rotated elsewhere and named here by ARN. A task gets each
# twice: its value at the start (secrets), and its ARN as NAME_ARN, so that the
# program reads it again when it is refused: rotation needs no restart. No value
# is ever in the state or in a task definition.

locals {
  worker_secrets = merge(var.worker_secrets, {
    DB_PASSWORD        = var.db_password_arn
    TWILIO_CREDENTIALS = var.twilio_credentials_arn
  })
  controller_secrets = merge(var.controller_secrets, {
    DB_PASSWORD        = var.db_password_arn
    TWILIO_CREDENTIALS = var.twilio_credentials_arn
  })

  # An ARN may come with :KEY:VERSION-STAGE:VERSION-ID behind it (ECS's form,
  # which the programs understand too); IAM takes the seven parts before.
  worker_secret_arns     = distinct([for arn in values(local.worker_secrets) : join(":", slice(split(":", arn), 0, 7))])
  controller_secret_arns = distinct([for arn in values(local.controller_secrets) : join(":", slice(split(":", arn), 0, 7))])

  # The full ARN ends in - and six characters, and the one that people copy
  # often does not: allow both, and no longer name.
  worker_secret_resources     = flatten([for arn in local.worker_secret_arns : [arn, "${arn}-??????"]])
  controller_secret_resources = flatten([for arn in local.controller_secret_arns : [arn, "${arn}-??????"]])
}
