# Optional: the providers' own words, put on the queues. Nothing depends on them.
#
#   Twilio ─▶ HTTP API ─▶ SMS queue      POST /twilio: inbound texts;
#                                        POST /twilio/status?acs_id=…: what became
#                                        of ours. The signature header, the URL
#                                        and the raw body travel along
#   SES ─▶ SNS topic ─▶ email queue      admitted by the topic's ARN alone
#
# Twilio signs the URL and the body with the account's token; the worker checks
# that before it believes a word (internal/processor/webhook.go), since anyone
# may post to the API. The marks are the API's to set: who posts can fill them,
# and cannot leave them out.

locals {
  mail_set       = var.name
  mail_set_arn   = "arn:${local.partition}:ses:${local.region}:${local.account}:configuration-set/${local.mail_set}"
  mail_topic     = "${var.name}-mail-notifications"
  mail_topic_arn = "arn:${local.partition}:sns:${local.region}:${local.account}:${local.mail_topic}"
}

resource "aws_apigatewayv2_api" "webhooks" {
  count = var.webhooks ? 1 : 0

  name          = "${var.name}-webhooks"
  description   = "Twilio's callbacks and inbound texts, to the SMS queue."
  protocol_type = "HTTP"
  tags          = local.tags
}

data "aws_iam_policy_document" "webhooks_trust" {
  statement {
    sid     = "TheApiOfThisAccount"
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["apigateway.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "webhooks" {
  statement {
    sid       = "PutOnTheQueue"
    actions   = ["sqs:SendMessage"]
    resources = ["${local.sqs_arn}:${var.name}-sms-events"]
  }
  dynamic "statement" {
    for_each = var.kms_key_arn != null ? [1] : []
    content {
      sid       = "UseTheKey"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["sqs.${local.region}.${data.aws_partition.current.dns_suffix}"]
      }
    }
  }
}

resource "aws_iam_role" "webhooks" {
  count = var.webhooks ? 1 : 0

  name               = "${var.name}-webhooks${local.global_suffix}"
  description        = "Lets the HTTP API put a webhook on the SMS queue, and nothing else."
  assume_role_policy = data.aws_iam_policy_document.webhooks_trust.json
  tags               = local.tags
}

resource "aws_iam_role_policy" "webhooks" {
  count = var.webhooks ? 1 : 0

  name   = "webhooks"
  role   = aws_iam_role.webhooks[0].name
  policy = data.aws_iam_policy_document.webhooks.json
}

locals {
  webhook_marks = {
    acs_webhook_signature = { DataType = "String", StringValue = "$${request.header.x-twilio-signature}" }
    acs_webhook_url       = { DataType = "String", StringValue = "https://$${context.domainName}$${context.path}" }
  }
  # An integration knows no raw query, so the one parameter that is signed with
  # the URL has a mark and a route of its own.
  webhook_routes = {
    "POST /twilio"        = local.webhook_marks
    "POST /twilio/status" = merge(local.webhook_marks, { acs_webhook_event = { DataType = "String", StringValue = "$${request.querystring.acs_id}" } })
  }
}

# A later change of a mapping needs terraform apply -replace: the provider sends
# updates incomplete (https://github.com/hashicorp/terraform-provider-aws/issues/22647).
resource "aws_apigatewayv2_integration" "twilio" {
  for_each = var.webhooks ? local.webhook_routes : {}

  api_id                 = aws_apigatewayv2_api.webhooks[0].id
  description            = "SQS SendMessage: ${each.key}"
  integration_type       = "AWS_PROXY"
  integration_subtype    = "SQS-SendMessage"
  payload_format_version = "1.0"
  credentials_arn        = aws_iam_role.webhooks[0].arn

  request_parameters = {
    QueueUrl          = aws_sqs_queue.events["sms"].url
    MessageBody       = "$request.body"
    MessageAttributes = jsonencode(each.value)
  }

  depends_on = [aws_iam_role_policy.webhooks]
}

resource "aws_apigatewayv2_route" "twilio" {
  for_each = aws_apigatewayv2_integration.twilio

  api_id    = aws_apigatewayv2_api.webhooks[0].id
  route_key = each.key
  target    = "integrations/${each.value.id}"
}

resource "aws_apigatewayv2_stage" "webhooks" {
  count = var.webhooks ? 1 : 0

  api_id      = aws_apigatewayv2_api.webhooks[0].id
  name        = "$default"
  auto_deploy = true
  tags        = local.tags

  # Twilio sends one callback a status; what floods this is not Twilio.
  default_route_settings {
    throttling_rate_limit  = 500
    throttling_burst_limit = 1000
  }
}

# SES's notifications: deliveries, bounces, complaints, rejections.

resource "aws_sns_topic" "mail" {
  count = var.webhooks ? 1 : 0

  name              = local.mail_topic
  kms_master_key_id = var.kms_key_arn
  tags              = local.tags
}

data "aws_iam_policy_document" "mail_topic" {
  statement {
    sid       = "DenyWithoutTLS"
    effect    = "Deny"
    actions   = ["sns:Publish"]
    resources = [local.mail_topic_arn]
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
    sid       = "MailsOfThisAccount"
    actions   = ["sns:Publish"]
    resources = [local.mail_topic_arn]
    principals {
      type        = "Service"
      identifiers = ["ses.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.mail_set_arn]
    }
  }
}

resource "aws_sns_topic_policy" "mail" {
  count = var.webhooks ? 1 : 0

  arn    = aws_sns_topic.mail[0].arn
  policy = data.aws_iam_policy_document.mail_topic.json
}

resource "aws_sns_topic_subscription" "mail" {
  count = var.webhooks ? 1 : 0

  topic_arn            = aws_sns_topic.mail[0].arn
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.events["email"].arn
  raw_message_delivery = true
}

resource "aws_sesv2_configuration_set" "mail" {
  count = var.webhooks ? 1 : 0

  configuration_set_name = local.mail_set
  tags                   = local.tags
}

resource "aws_sesv2_configuration_set_event_destination" "mail" {
  count = var.webhooks ? 1 : 0

  configuration_set_name = aws_sesv2_configuration_set.mail[0].configuration_set_name
  event_destination_name = "email-queue"

  event_destination {
    enabled              = true
    matching_event_types = ["DELIVERY", "BOUNCE", "COMPLAINT", "REJECT", "DELIVERY_DELAY"]

    sns_destination {
      topic_arn = aws_sns_topic.mail[0].arn
    }
  }

  depends_on = [aws_sns_topic_policy.mail]
}
