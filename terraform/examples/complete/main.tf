# Everything: network, database, secrets and novaura-acs, with webhooks, alarms
# and Graviton. Apply twice: first with create_services = false, then push the
# images and set Twilio's secret, then apply without it.
#
#   export AWS_REGION=us-east-1
#   terraform init && terraform apply -var image_tag=v1.0.0 -var create_services=false

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.80"
    }
  }
}

provider "aws" {
  default_tags {
    tags = { Repository = "acs-operator" }
  }
}

variable "image_tag" {
  description = "The tag of both images."
  type        = string
}

variable "create_services" {
  description = "false for the first apply, before the images are pushed."
  type        = bool
  default     = true
}

variable "alarm_emails" {
  description = "Addresses that receive the alarms."
  type        = list(string)
  default     = []
}

# RDS creates and rotates the password itself; Terraform sees its ARN only.
resource "aws_db_subnet_group" "history" {
  name       = "novaura-acs"
  subnet_ids = module.acs.private_subnet_ids
}

resource "aws_security_group" "database" {
  name        = "novaura-acs-database"
  description = "The history of novaura-acs"
  vpc_id      = module.acs.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = toset(["worker", "controller"])

  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from the ${each.value}"
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
  referenced_security_group_id = module.acs.security_group_ids[each.value]
}

# The server rejects connections without TLS. PostgreSQL 15 and newer have this
# default; stated, it also holds for an older one.
resource "aws_db_parameter_group" "history" {
  name   = "novaura-acs"
  family = "postgres16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
}

resource "aws_db_instance" "history" {
  identifier                   = "novaura-acs"
  engine                       = "postgres"
  engine_version               = "16"
  instance_class               = "db.t4g.small"
  allocated_storage            = 20
  max_allocated_storage        = 200
  storage_type                 = "gp3"
  storage_encrypted            = true
  db_name                      = "novaura"
  username                     = "novaura"
  manage_master_user_password  = true
  multi_az                     = true
  parameter_group_name         = aws_db_parameter_group.history.name
  ca_cert_identifier           = "rds-ca-rsa2048-g1"
  db_subnet_group_name         = aws_db_subnet_group.history.name
  vpc_security_group_ids       = [aws_security_group.database.id]
  publicly_accessible          = false
  backup_retention_period      = 14
  copy_tags_to_snapshot        = true
  deletion_protection          = true
  final_snapshot_identifier    = "novaura-acs-final"
  performance_insights_enabled = true
}

# The value is set by hand, once, and never seen by terraform:
#   aws secretsmanager put-secret-value --secret-id novaura-acs/twilio --secret-string file://twilio.json
resource "aws_secretsmanager_secret" "twilio" {
  name                    = "novaura-acs/twilio"
  description             = "Twilio: account_sid, auth_token, from_number"
  recovery_window_in_days = 7
}

module "acs" {
  source = "../.."

  environment     = "production"
  image_tag       = var.image_tag
  create_services = var.create_services

  db_host                = aws_db_instance.history.address
  db_name                = "novaura"
  db_user                = "novaura"
  db_password_arn        = "${aws_db_instance.history.master_user_secret[0].secret_arn}:password::"
  twilio_credentials_arn = aws_secretsmanager_secret.twilio.arn

  cpu_architecture   = "ARM64"
  container_insights = "enabled"
  webhooks           = true
  alarm_emails       = var.alarm_emails

  worker_services = {
    all = { concurrency = 20 }
  }
}

output "acs" {
  description = "All outputs of the module."
  value       = module.acs
}

output "database" {
  description = "The database's host name."
  value       = aws_db_instance.history.address
}
