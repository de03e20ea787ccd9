# Two environments in one account and one existing VPC. Each needs a name of its
# own; production keeps the default one. In practice give each environment a
# state of its own (a folder or a workspace), so that an apply touches one only.

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

variable "image_tags" {
  description = "The tag of both images, by environment."
  type        = map(string)
  default     = { production = "v1.0.0", staging = "v1.1.0" }
}

variable "create_services" {
  description = "false for the first apply, before the images are pushed."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "The VPC of the database and of the tasks."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets with a route to the internet (NAT), in two zones."
  type        = list(string)
}

variable "private_route_table_ids" {
  description = "Their route tables, for S3's gateway endpoint; empty if the VPC has one already."
  type        = list(string)
  default     = []
}

variable "db_security_group_id" {
  description = "The security group of the database: the module lets the tasks in."
  type        = string
}

module "acs" {
  source   = "../.."
  for_each = var.image_tags

  name            = each.key == "production" ? "novaura-acs" : "novaura-acs-${each.key}"
  environment     = each.key
  image_tag       = each.value
  create_services = var.create_services

  vpc_id               = var.vpc_id
  private_subnet_ids   = var.private_subnet_ids
  db_security_group_id = var.db_security_group_id
  # One gateway endpoint for a route table is enough.
  private_route_table_ids = each.key == "production" ? var.private_route_table_ids : []

  db_host                = "novaura.abcdefghijkl.us-east-1.rds.amazonaws.com"
  db_name                = "acs_${each.key}"
  db_user                = "acs_${each.key}"
  db_password_arn        = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/${each.key}/db-password"
  twilio_credentials_arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:novaura/${each.key}/twilio"

  alarm_emails = ["oncall@example.com"]
}

output "acs" {
  description = "All outputs of the module, by environment."
  value       = module.acs
}
