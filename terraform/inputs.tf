# Inputs that make sense only together. Nothing is created for this resource in
# AWS; a condition that does not hold stops the plan with its message.
resource "terraform_data" "inputs" {
  lifecycle {
    precondition {
      condition     = var.controller_only || (var.db_host != null && var.db_name != null && var.db_user != null && var.db_password_arn != null)
      error_message = "db_host, db_name, db_user and db_password_arn must be set: workers keep their history in PostgreSQL. Only controller_only = true works without them."
    }
    precondition {
      condition     = (var.db_host == null) == (var.db_name == null) && (var.db_host == null) == (var.db_user == null) && (var.db_host == null) == (var.db_password_arn == null)
      error_message = "db_host, db_name, db_user and db_password_arn go together: set all four, or none for a controller alone that keeps its state in a file."
    }
    precondition {
      condition     = var.controller_only || var.twilio_credentials_arn != null
      error_message = "twilio_credentials_arn must be set: create the secret first (docs/deploy.md, step 1) and put its ARN here. Only controller_only = true works without it."
    }
    precondition {
      condition     = var.vpc_id == null || length(var.private_subnet_ids) > 0
      error_message = "vpc_id is set and private_subnet_ids is empty: name the private subnets in which the tasks run, or remove vpc_id and a new network is created."
    }
    precondition {
      condition     = !(var.controller_only && var.webhooks)
      error_message = "webhooks = true needs the queues of this module, which controller_only = true does not create: remove one of the two."
    }
    precondition {
      condition     = var.db_name != null || var.controller_tasks < 2
      error_message = "controller_tasks = 2 needs a database (db_host): two controllers without a common database do not know of each other, and both scale."
    }
    precondition {
      condition     = alltrue([for policy in local.policies : policy != null])
      error_message = "One of ${join(", ", local.policy_files)} is not YAML: run controller validate FILE, which names every mistake with its line."
    }
    precondition {
      condition     = length(local.scaling_policies) > 0
      error_message = "None of ${join(", ", local.policy_files)} has a ScalingPolicy: the controller would have nothing to do. config/scaling-policy.yaml is an example."
    }
    precondition {
      condition     = local.delivery_policies <= 1
      error_message = "policy_files has ${local.delivery_policies} DeliveryPolicies, and a worker follows exactly one: keep one."
    }
    precondition {
      condition     = length(distinct([for policy in local.policies : "${try(policy.kind, "")}/${try(policy.metadata.name, "")}"])) == length(local.policies)
      error_message = "Two policies of policy_files have the same kind and metadata.name: rename or remove one."
    }
  }
}
