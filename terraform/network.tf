# Where tasks run: your private subnets, or a small network of our own. Tasks
# have no public address; nothing can open a connection to them.

locals {
  own_network = var.vpc_id == null
  zones       = 2
}

data "aws_availability_zones" "available" {
  count = local.own_network ? 1 : 0
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_vpc" "given" {
  count = local.own_network ? 0 : 1
  id    = var.vpc_id
}

resource "aws_vpc" "own" {
  count = local.own_network ? 1 : 0

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = merge(local.tags, { Name = "${var.name}" })

  lifecycle {
    precondition {
      condition     = length(var.private_subnet_ids) == 0
      error_message = "private_subnet_ids are set and vpc_id is not: set both, or neither and a network is made."
    }
  }
}

# Nobody uses the VPC's default group: it lets nothing in and nothing out.
resource "aws_default_security_group" "own" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = merge(local.tags, { Name = "${var.name}-default-unused" })
}

resource "aws_subnet" "private" {
  count = local.own_network ? local.zones : 0

  vpc_id            = aws_vpc.own[0].id
  cidr_block        = cidrsubnet(var.vpc_cidr, 2, count.index)
  availability_zone = data.aws_availability_zones.available[0].names[count.index]
  tags              = merge(local.tags, { Name = "${var.name}-private-${count.index}" })
}

resource "aws_subnet" "public" {
  count = local.own_network ? local.zones : 0

  vpc_id            = aws_vpc.own[0].id
  cidr_block        = cidrsubnet(var.vpc_cidr, 4, 12 + count.index)
  availability_zone = data.aws_availability_zones.available[0].names[count.index]
  tags              = merge(local.tags, { Name = "${var.name}-public-${count.index}" })
}

resource "aws_internet_gateway" "own" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = merge(local.tags, { Name = "${var.name}" })
}

resource "aws_eip" "nat" {
  count = local.own_network ? 1 : 0

  domain = "vpc"
  tags   = merge(local.tags, { Name = "${var.name}-nat" })
}

# One NAT gateway: when its zone is lost, sending stops and messages wait on
# their queues. Bring your own subnets where that is not good enough.
resource "aws_nat_gateway" "own" {
  count = local.own_network ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[0].id
  tags          = merge(local.tags, { Name = "${var.name}" })

  depends_on = [aws_internet_gateway.own]
}

resource "aws_route_table" "public" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = merge(local.tags, { Name = "${var.name}-public" })
}

resource "aws_route" "internet" {
  count = local.own_network ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.own[0].id
}

resource "aws_route_table_association" "public" {
  count = local.own_network ? local.zones : 0

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route_table" "private" {
  count = local.own_network ? 1 : 0

  vpc_id = aws_vpc.own[0].id
  tags   = merge(local.tags, { Name = "${var.name}-private" })
}

resource "aws_route" "nat" {
  count = local.own_network ? 1 : 0

  route_table_id         = aws_route_table.private[0].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.own[0].id
}

resource "aws_route_table_association" "private" {
  count = local.own_network ? local.zones : 0

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

locals {
  vpc_id           = local.own_network ? aws_vpc.own[0].id : var.vpc_id
  vpc_cidr         = local.own_network ? var.vpc_cidr : data.aws_vpc.given[0].cidr_block
  private_subnets  = local.own_network ? aws_subnet.private[*].id : var.private_subnet_ids
  route_tables     = local.own_network ? aws_route_table.private[*].id : var.private_route_table_ids
  db_cidr_blocks   = var.db_security_group_id != null || local.file_database ? [] : length(var.db_cidr_blocks) > 0 ? var.db_cidr_blocks : [local.vpc_cidr]
  s3_gateway_count = local.own_network || length(var.private_route_table_ids) > 0 ? 1 : 0
}

# Security groups: no way in, and a named way out each.

resource "aws_security_group" "task" {
  for_each = { for program, description in { worker = "The workers of ${var.name}", controller = "The controller of ${var.name}" } : program => description if contains(local.programs, program) }

  name_prefix = "${var.name}-${each.key}-"
  description = each.value
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-${each.key}" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each = aws_security_group.task

  security_group_id = each.value.id
  description       = each.key == "worker" ? "HTTPS to AWS, Twilio, FCM, APNs and Web Push" : "HTTPS to AWS and the alert receivers"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0" # the providers publish no fixed ranges
  tags              = local.tags
}

# The controller mails alerts where it is told to.
resource "aws_vpc_security_group_egress_rule" "smtp" {
  for_each = {
    for pair in setproduct(concat(local.workers ? ["worker"] : [], lookup(var.controller_environment, "EMAIL_PROVIDER", "") == "smtp" ? ["controller"] : []), var.smtp_ports) :
    "${pair[0]}-${pair[1]}" => { group = pair[0], port = tonumber(pair[1]) }
  }

  security_group_id = aws_security_group.task[each.value.group].id
  description       = "SMTP to the mail server"
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = "0.0.0.0/0"
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "database_range" {
  for_each = { for pair in setproduct(local.programs, range(length(local.db_cidr_blocks))) : "${pair[0]}-${pair[1]}" => pair }

  security_group_id = aws_security_group.task[each.value[0]].id
  description       = "PostgreSQL"
  ip_protocol       = "tcp"
  from_port         = var.db_port
  to_port           = var.db_port
  cidr_ipv4         = local.db_cidr_blocks[each.value[1]]
  tags              = local.tags
}

resource "aws_vpc_security_group_egress_rule" "database_group" {
  for_each = var.db_security_group_id != null ? toset(local.programs) : []

  security_group_id            = aws_security_group.task[each.value].id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = var.db_port
  to_port                      = var.db_port
  referenced_security_group_id = var.db_security_group_id
  tags                         = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  for_each = var.db_security_group_id != null ? toset(local.programs) : []

  security_group_id            = var.db_security_group_id
  description                  = "PostgreSQL from the ${each.value} of ${var.name}"
  ip_protocol                  = "tcp"
  from_port                    = var.db_port
  to_port                      = var.db_port
  referenced_security_group_id = aws_security_group.task[each.value].id
  tags                         = local.tags
}

# Endpoints.

# ECR keeps layers in S3. The gateway costs nothing.
data "aws_iam_policy_document" "s3_gateway" {
  statement {
    sid       = "LayersOfImages"
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::prod-${local.region}-starport-layer-bucket/*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
  }
  statement {
    sid       = "BucketsOfThisAccount"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceAccount"
      values   = [local.account]
    }
  }
}

resource "aws_vpc_endpoint" "s3" {
  count = local.s3_gateway_count

  vpc_id            = local.vpc_id
  service_name      = "com.amazonaws.${local.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = local.route_tables
  policy            = data.aws_iam_policy_document.s3_gateway.json
  tags              = merge(local.tags, { Name = "${var.name}-s3" })
}

resource "aws_security_group" "endpoint" {
  count = var.vpc_endpoints ? 1 : 0

  name_prefix = "${var.name}-endpoint-"
  description = "The interface endpoints of ${var.name}"
  vpc_id      = local.vpc_id
  tags        = merge(local.tags, { Name = "${var.name}-endpoint" })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "endpoint" {
  for_each = var.vpc_endpoints ? aws_security_group.task : {}

  security_group_id            = aws_security_group.endpoint[0].id
  description                  = "HTTPS from the ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = each.value.id
  tags                         = local.tags
}

# Through these endpoints, this account's principals and resources alone.
data "aws_iam_policy_document" "endpoint" {
  statement {
    sid       = "ThisAccount"
    actions   = ["*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:PrincipalAccount"
      values   = [local.account]
    }
  }
}

resource "aws_vpc_endpoint" "interface" {
  for_each = var.vpc_endpoints ? toset(concat(
    ["sqs", "ecr.api", "ecr.dkr", "logs", "secretsmanager", "monitoring", "ecs"],
    local.policy_store == "ssm" ? ["ssm"] : [],
    length(var.ses_identity_arns) > 0 ? ["email"] : [],
  )) : []

  vpc_id              = local.vpc_id
  service_name        = "com.amazonaws.${local.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.private_subnets
  security_group_ids  = [aws_security_group.endpoint[0].id]
  policy              = data.aws_iam_policy_document.endpoint.json
  tags                = merge(local.tags, { Name = "${var.name}-${each.value}" })
}
