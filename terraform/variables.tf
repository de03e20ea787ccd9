# The predecessor's variables. A tfvars file that sets these, and nothing else,
# plans and applies.

variable "name" {
  description = "The prefix of every name: queues, cluster, services, roles, log group, repositories, parameter, alarms, topic. Set another one for each further environment in the same account, for example novaura-acs-staging. Never change it for an existing environment: everything would be replaced."
  type        = string
  default     = "novaura-acs"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name)) && !strcontains(var.name, "--")
    error_message = "name must have 3 to 24 lower-case letters, digits and single hyphens, start with a letter and not end with a hyphen, for example novaura-acs-staging."
  }
}

variable "environment" {
  description = "Which environment this is, for example production: a tag of every resource, and the variable ENVIRONMENT of every task. It is in no name: see name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_-]{0,31}$", var.environment))
    error_message = "environment must start with a letter and hold at most 32 letters, digits, - and _."
  }
}

variable "image_tag" {
  description = "The tag of both images in their ECR repositories: a version or a commit, so that a rollback names the former one."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$", var.image_tag))
    error_message = "image_tag must be a tag alone (letters, digits, _ . -), without the repository and without a digest."
  }
}

variable "db_name" {
  description = "The PostgreSQL database of the history."
  type        = string
  default     = null

  validation {
    condition     = var.db_name == null || can(regex("^[A-Za-z_][A-Za-z0-9_$-]{0,62}$", var.db_name))
    error_message = "db_name must be a PostgreSQL name: at most 63 letters, digits, _ $ -, not starting with a digit."
  }
}

variable "db_user" {
  description = "The database's user; it owns the schema db_schema, or may create in it."
  type        = string
  default     = null

  validation {
    condition     = var.db_user == null || can(regex("^.{1,63}$", var.db_user))
    error_message = "db_user must have 1 to 63 characters."
  }
}

variable "db_host" {
  description = "The database's host name, without a port: an RDS endpoint or a proxy's."
  type        = string
  default     = null

  validation {
    condition     = var.db_host == null || can(regex("^[A-Za-z0-9.-]+$", var.db_host))
    error_message = "db_host must be a host name or an IPv4 address alone, without a port (that is db_port) and without postgres://."
  }
}

variable "db_password_arn" {
  description = "ARN of the Secrets Manager secret with the database's password: a plain value, or JSON with the key password. With or without the random suffix; ARN:key:: takes another key."
  type        = string
  default     = null

  validation {
    condition     = var.db_password_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:]*:[^:]*:[^:]*)?$", var.db_password_arn))
    error_message = "db_password_arn must be the ARN of a Secrets Manager secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, or that with :KEY:: behind it."
  }
}

variable "twilio_credentials_arn" {
  description = "ARN of the Secrets Manager secret with Twilio's credentials: JSON with account_sid, auth_token, and from_number or messaging_service_sid."
  type        = string
  default     = null

  validation {
    condition     = var.twilio_credentials_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:]*:[^:]*:[^:]*)?$", var.twilio_credentials_arn))
    error_message = "twilio_credentials_arn must be the ARN of a Secrets Manager secret: arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME."
  }
}

# tflint-ignore: terraform_unused_declarations
variable "django_secret_key_arn" {
  description = "Accepted so that the predecessor's tfvars files stay valid, and unused: nothing here signs with it."
  type        = string
  default     = null
}

# The database.

variable "db_port" {
  description = "The database's TCP port."
  type        = number
  default     = 5432

  validation {
    condition     = var.db_port >= 1 && var.db_port <= 65535 && floor(var.db_port) == var.db_port
    error_message = "db_port must be a TCP port, 1 to 65535."
  }
}

variable "db_schema" {
  description = "The schema of our tables. Set one of its own where the predecessor's communication_events lives in the same database."
  type        = string
  default     = ""
}

variable "db_sslmode" {
  description = "libpq's sslmode: require encrypts; verify-full checks the server's name too."
  type        = string
  default     = "require"

  validation {
    condition     = contains(["disable", "prefer", "require", "verify-ca", "verify-full"], var.db_sslmode)
    error_message = "db_sslmode must be disable, prefer, require, verify-ca or verify-full."
  }
}

variable "db_security_group_id" {
  description = "The database's security group: tasks may reach it, and it lets them in. Without one they may reach db_cidr_blocks, and you allow them in yourself (output security_group_ids)."
  type        = string
  default     = null
}

variable "db_cidr_blocks" {
  description = "The address ranges of the database, when it has no db_security_group_id, for example the peered VPC's; empty: the range of the VPC in which the tasks run."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for block in var.db_cidr_blocks : can(cidrhost(block, 0))])
    error_message = "db_cidr_blocks must be CIDR blocks such as 10.1.0.0/16."
  }
}

# The network.

variable "vpc_id" {
  description = "The VPC to run in, with private_subnet_ids. Without both a small network is made: two private subnets, two public ones, one NAT gateway."
  type        = string
  default     = null
}

variable "private_subnet_ids" {
  description = "Private subnets of vpc_id, in two availability zones at least, with a way out (NAT) to the providers."
  type        = list(string)
  default     = []
}

variable "private_route_table_ids" {
  description = "Route tables of private_subnet_ids, for the S3 gateway endpoint; empty: none is added to your VPC."
  type        = list(string)
  default     = []
}

variable "vpc_cidr" {
  description = "The address range of the network that is made when there is no vpc_id; choose one that can be peered with the database's."
  type        = string
  default     = "10.83.0.0/20"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 15))
    error_message = "vpc_cidr must be a CIDR block of /24 or larger, such as 10.83.0.0/20."
  }
}

variable "vpc_endpoints" {
  description = "Interface endpoints for SQS, ECR, logs, secrets, metrics, ECS and SSM, so that nothing but calls to providers takes the NAT gateway. They save money from about 3 TB a month on: docs/deploy.md has the sum."
  type        = bool
  default     = false
}

variable "smtp_ports" {
  description = "TCP ports that the worker may reach anywhere beside 443, for SMTP: [587] where SMTP_URL names such a server. The controller too, where its EMAIL_PROVIDER is smtp."
  type        = list(number)
  default     = []
}

# The tasks.

variable "controller_only" {
  description = "true creates the controller alone, for workers and queues that exist already: those that the ScalingPolicies of policy_files name. The controller runs in the cluster of the first one. docs/controller-only.md shows how."
  type        = bool
  default     = false
}

variable "create_services" {
  description = "false makes everything but the two services: for the very first apply, before the images are in their repositories."
  type        = bool
  default     = true
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64 (Graviton: a fifth cheaper). The images must be built for it; make images builds both."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture must be X86_64 or ARM64."
  }
}

variable "worker_services" {
  description = <<-EOT
    The worker services, by a short name. The default is one for all channels, named as the predecessor's.
    One per channel: {sms = {worker_type = "sms"}, email = {worker_type = "email"}, push = {worker_type = "push"}};
    each is then named novaura-acs-communication-processor-worker-service-NAME, and needs a ScalingPolicy of its own.
    cpu is in CPU units (1024 are one vCPU), memory in MiB; a pair that Fargate has.
    tasks is the count to create the service with, where no ScalingPolicy names it; the controller has it from then on.
  EOT
  type = map(object({
    worker_type = optional(string, "all")
    cpu         = optional(number, 256)
    memory      = optional(number, 512)
    concurrency = optional(number, 10)
    tasks       = optional(number, 1)
    environment = optional(map(string), {})
  }))
  default = { all = {} }

  validation {
    condition     = length(var.worker_services) > 0 && alltrue([for name in keys(var.worker_services) : can(regex("^[a-z][a-z0-9-]{0,31}$", name))])
    error_message = "worker_services needs one entry at least, and short names of lower-case letters, digits and -."
  }
  validation {
    condition     = alltrue(flatten([for s in values(var.worker_services) : [for type in split(",", s.worker_type) : contains(["all", "sms", "email", "push"], trimspace(type))]]))
    error_message = "worker_type must be all, or a comma list of sms, email and push."
  }
  validation {
    condition     = alltrue(flatten([for s in values(var.worker_services) : [for name in keys(s.environment) : !can(regex("(PASSWORD|TOKEN|SECRET|CREDENTIALS|PRIVATE_KEY|SMTP_URL|DATABASE_URL)$", name))]]))
    error_message = "the environment of a worker service holds what looks like a secret: put it in Secrets Manager and name its ARN in worker_secrets."
  }
  validation {
    condition     = alltrue([for s in values(var.worker_services) : contains([256, 512, 1024, 2048, 4096], s.cpu) && s.memory >= 2 * s.cpu && s.memory <= 8 * s.cpu])
    error_message = "cpu must be 256, 512, 1024, 2048 or 4096, and memory two to eight times as many MiB: see https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html."
  }
}

variable "worker_on_demand_base" {
  description = "How many tasks of each worker service always run on Fargate on demand; what goes beyond is mixed by worker_spot_percent."
  type        = number
  default     = 1

  validation {
    condition     = var.worker_on_demand_base >= 0 && var.worker_on_demand_base <= 100000
    error_message = "worker_on_demand_base must be 0 to 100000."
  }
}

variable "worker_spot_percent" {
  description = "How many of a hundred tasks beyond the base run on Fargate Spot, at about a third of the price; a worker drains within Spot's two minutes' notice. 0: none."
  type        = number
  default     = 75

  validation {
    condition     = var.worker_spot_percent >= 0 && var.worker_spot_percent <= 100 && floor(var.worker_spot_percent) == var.worker_spot_percent
    error_message = "worker_spot_percent must be a whole number, 0 to 100."
  }
}

variable "worker_stop_timeout" {
  description = "Seconds from SIGTERM to SIGKILL: the task definition's stopTimeout and the worker's WORKER_STOP_TIMEOUT. Fargate's most, and Spot's notice, are 120."
  type        = number
  default     = 120

  validation {
    condition     = var.worker_stop_timeout >= 10 && var.worker_stop_timeout <= 120
    error_message = "worker_stop_timeout must be 10 to 120 seconds."
  }
}

variable "worker_environment" {
  description = "Further plain settings of every worker, for example {EMAIL_FROM = \"hello@example.com\"}. No secrets: those go by ARN, in worker_secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.worker_environment) : !can(regex("(PASSWORD|TOKEN|SECRET|CREDENTIALS|PRIVATE_KEY|SMTP_URL|DATABASE_URL)$", name))])
    error_message = "worker_environment holds what looks like a secret: put it in Secrets Manager and name its ARN in worker_secrets, so that it stays out of the state and of the task definition."
  }
}

variable "worker_secrets" {
  description = "Further secrets of every worker, the variable's name to the secret's ARN, for example {FCM_CREDENTIALS = \"arn:aws:secretsmanager:…\", SMTP_URL = \"…\"}. Each is also given as NAME_ARN, so that a rotated value is read again without a restart."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.worker_secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:]*:[^:]*:[^:]*)?$", arn))])
    error_message = "worker_secrets must map a variable's name to the ARN of a Secrets Manager secret."
  }
}

variable "controller_environment" {
  description = "Further plain settings of the controller. No secrets: those go by ARN, in controller_secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.controller_environment) : !can(regex("(PASSWORD|TOKEN|SECRET|CREDENTIALS|PRIVATE_KEY|SMTP_URL|DATABASE_URL|WEBHOOK_URL)$", name))])
    error_message = "controller_environment holds what looks like a secret: put it in Secrets Manager and name its ARN in controller_secrets."
  }
}

variable "controller_secrets" {
  description = "Further secrets of the controller, the variable's name to the secret's ARN, for example {SLACK_WEBHOOK_URL = \"arn:aws:secretsmanager:…\"}. Each is also given as NAME_ARN, as the worker's are."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.controller_secrets) : can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:]*:[^:]*:[^:]*)?$", arn))])
    error_message = "controller_secrets must map a variable's name to the ARN of a Secrets Manager secret."
  }
}

variable "controller_tasks" {
  description = "How many controllers run: one decides, a second is a standby that takes over within seconds. 0 stops the steering and leaves the workers as they are."
  type        = number
  default     = 1

  validation {
    condition     = contains([0, 1, 2], var.controller_tasks)
    error_message = "controller_tasks must be 0, 1 or 2."
  }
}

variable "enable_execute_command" {
  description = "ECS Exec into the tasks. Off: the images have no shell, and what a person needs is in the commands."
  type        = bool
  default     = false
}

variable "container_insights" {
  description = "The cluster's Container Insights: disabled, enabled or enhanced. Costs per metric; the alarm on running tasks needs it."
  type        = string
  default     = "disabled"

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights must be disabled, enabled or enhanced."
  }
}

# The queues.

variable "visibility_timeout" {
  description = "Seconds that a message stays hidden after a receive; the worker gets it as WORKER_VISIBILITY_TIMEOUT and extends it while it works."
  type        = number
  default     = 60

  validation {
    condition     = var.visibility_timeout >= 30 && var.visibility_timeout <= 43200
    error_message = "visibility_timeout must be 30 to 43200 seconds."
  }
}

variable "message_retention" {
  description = "Seconds that a message waits on its queue before SQS drops it. Dead letters are kept the 14 days that SQS has at the most."
  type        = number
  default     = 604800

  validation {
    condition     = var.message_retention >= 3600 && var.message_retention <= 1209600
    error_message = "message_retention must be 3600 (an hour) to 1209600 (14 days)."
  }
}

variable "max_receive_count" {
  description = "After how many receives SQS itself moves a message to the dead-letter queue. Well above the worker's own tries, which put aside what can never succeed, with the reason: this is for what keeps killing workers."
  type        = number
  default     = 25

  validation {
    condition     = var.max_receive_count >= 2 && var.max_receive_count <= 1000
    error_message = "max_receive_count must be 2 to 1000."
  }
}

variable "producer_arns" {
  description = "Roles of other accounts that may send to the queues. Roles of this account need only a policy of their own."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.producer_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/.+$", arn))])
    error_message = "producer_arns must be ARNs of IAM roles or users."
  }
}

# What is sent by mail.

variable "ses_identity_arns" {
  description = "SES identities that the worker may send from, for example arn:aws:ses:us-east-1:123456789012:identity/example.com; empty: it may not use SES. Set EMAIL_PROVIDER and EMAIL_FROM in worker_environment with it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.ses_identity_arns : can(regex("^arn:aws[a-z-]*:ses:[a-z0-9-]+:[0-9]{12}:(identity|configuration-set)/[^*?]+$", arn))])
    error_message = "ses_identity_arns must be ARNs of SES identities or configuration sets, without *."
  }
}

variable "attachment_prefixes" {
  description = "Where mails may take attachments from: s3://BUCKET/PREFIX, each ending in /. Empty: nowhere."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for prefix in var.attachment_prefixes : can(regex("^s3://[a-z0-9.-]+/(.*/)?$", prefix))])
    error_message = "attachment_prefixes must look like s3://bucket/prefix/ and end in /."
  }
}

# What the controller tells people with, beside Twilio and webhooks.

variable "alert_topic_arns" {
  description = "SNS topics that receivers of alerts name (sns: {topicARN: …}): the controller may publish to these; empty: to none."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alert_topic_arns : can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alert_topic_arns must be ARNs of SNS topics, without * and without a subscription's end."
  }
}

variable "alert_ses_identity_arns" {
  description = "SES identities that receivers of alerts by email are written from; empty: the controller may not use SES. Set EMAIL_PROVIDER and EMAIL_FROM in controller_environment with it."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.alert_ses_identity_arns : can(regex("^arn:aws[a-z-]*:ses:[a-z0-9-]+:[0-9]{12}:(identity|configuration-set)/[^*?]+$", arn))])
    error_message = "alert_ses_identity_arns must be ARNs of SES identities or configuration sets, without *."
  }
}

# The policy.

variable "policy_files" {
  description = "The files with the policies (ScalingPolicy, DeliveryPolicy, AlertPolicy), uploaded as one document; controller and workers follow it within half a minute. null: config/scaling-policy.yaml of this checkout and terraform/policies/delivery-policy.yaml. Add your own copy of config/alert-policy.yaml: it names the receivers."
  type        = list(string)
  default     = null

  validation {
    condition     = var.policy_files == null || alltrue([for path in coalesce(var.policy_files, []) : fileexists(path)])
    error_message = "A file of policy_files does not exist: paths are relative to the folder in which terraform runs; write \"$${path.module}/policy.yaml\" in a module of your own."
  }
}

variable "scaling_policy_file" {
  description = "The former form of policy_files, for one file."
  type        = string
  default     = null
}

variable "policy_store" {
  description = "Where the policies are uploaded to: ssm (a parameter, up to 8 KB), s3 (an object in a bucket of its own, any size), or auto: ssm while they fit."
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "ssm", "s3"], var.policy_store)
    error_message = "policy_store must be auto, ssm or s3."
  }
}

# Keys, logs, alarms.

variable "kms_key_arn" {
  description = "A customer-managed key for queues, logs, repositories, topic and policy, which the secrets use too; null: the keys of AWS and SQS's own encryption. docs/security.md has the key policy that it needs."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", coalesce(var.kms_key_arn, "-")))
    error_message = "kms_key_arn must be a key's ARN, not an alias."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be one that CloudWatch Logs has: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, …"
  }
}

variable "log_level" {
  description = "LOG_LEVEL of both programs: debug, info, warn or error. The phrases that the alarms look for are logged at every level."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["debug", "info", "warn", "error"], var.log_level)
    error_message = "log_level must be debug, info, warn or error."
  }
}

variable "alarm_emails" {
  description = "Addresses that receive the alarms by email; each must confirm SNS's mail once. A plan warns while nobody receives them."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@ ]+@[^@ ]+[.][^@ ]+$", address))])
    error_message = "alarm_emails must be email addresses, for example [\"oncall@example.com\"]."
  }
}

variable "alarms_subscribed_elsewhere" {
  description = "true: your pager or chat is subscribed to the output alarm_topic_arn outside of this module, so a plan does not warn that alarms reach nobody."
  type        = bool
  default     = false
}

variable "oldest_age_alarm_seconds" {
  description = "The age of a queue's oldest message at which the alarm rings: well above the policy's maxAge, since the controller reports what it can mend."
  type        = number
  default     = 600

  validation {
    condition     = var.oldest_age_alarm_seconds >= 60
    error_message = "oldest_age_alarm_seconds must be 60 or more."
  }
}

variable "failure_alarm_count" {
  description = "How many messages may fail in five minutes (log lines Error processing) before the alarm rings."
  type        = number
  default     = 25

  validation {
    condition     = var.failure_alarm_count >= 1
    error_message = "failure_alarm_count must be 1 or more."
  }
}

variable "monthly_budget_usd" {
  description = "A budget of what is tagged Project=NAME, with a mail at 80 % and at a forecast of 100 %; null: none. The tag must be activated for cost allocation once."
  type        = number
  default     = null
}

# Webhooks.

variable "webhooks" {
  description = "An HTTP API that puts Twilio's callbacks and inbound texts on the SMS queue, and SES's notifications on the email queue by SNS. Nothing depends on them; without them texts end as sent rather than delivered."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Further tags of every resource."
  type        = map(string)
  default     = {}
}

variable "emulated" {
  description = "Whether AWS is a stand-in: leaves out what moto cannot hold (redrive allow policies, ECS-managed tags, saved queries), and nothing else. null: found out by the account, since stand-ins have the documentation's, 123456789012."
  type        = bool
  default     = null
}
