# The smallest set-up: a new network, one worker service for all channels, and
# a database that exists already.
#
#   export AWS_REGION=us-east-1
#   terraform init && terraform apply -var image_tag=v1.0.0 -var create_services=false
#
# Then push the images, and apply without create_services.

terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.80"
    }
  }
}

provider "aws" {}

variable "image_tag" {
  description = "The tag of both images."
  type        = string
}

variable "create_services" {
  description = "false for the first apply, before the images are pushed."
  type        = bool
  default     = true
}

module "acs" {
  source = "../.."

  environment     = "production"
  image_tag       = var.image_tag
  create_services = var.create_services

  db_host        = "novaura.abcdefghijkl.us-east-1.rds.amazonaws.com"
  db_name        = "novaura"
  db_user        = "novaura"
  db_cidr_blocks = ["10.1.0.0/16"] # the peered VPC of the database

  db_password_arn        = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/db-password"
  twilio_credentials_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/twilio"

  alarm_emails = ["oncall@example.com"]
}

output "acs" {
  description = "All outputs of the module."
  value       = module.acs
}
