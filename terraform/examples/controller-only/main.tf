# The controller alone, for workers and queues that exist already: those that
# policy.yaml names. No database server: docs/controller-only.md says what that
# costs, and how to add one.
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

provider "aws" {}

variable "image_tag" {
  description = "The tag of the controller's image."
  type        = string
}

variable "create_services" {
  description = "false for the first apply, before the image is pushed."
  type        = bool
  default     = true
}

variable "vpc_id" {
  description = "The VPC of the existing workers."
  type        = string
}

variable "private_subnet_ids" {
  description = "Private subnets with a route to the internet (NAT)."
  type        = list(string)
}

module "controller" {
  source = "../.."

  name            = "shop-scaling"
  environment     = "production"
  image_tag       = var.image_tag
  create_services = var.create_services

  controller_only = true
  policy_files    = ["${path.module}/policy.yaml"]

  vpc_id             = var.vpc_id
  private_subnet_ids = var.private_subnet_ids

  alarm_emails = ["oncall@example.com"]
}

output "controller" {
  description = "All outputs of the module; controller_policy_json is the IAM policy."
  value       = module.controller
}
