# The images' repositories: scanned on push, tags that cannot be moved.

resource "aws_ecr_repository" "image" {
  for_each = toset(local.workers ? [local.worker_image, local.controller_image] : [local.controller_image])

  name                 = each.value
  image_tag_mutability = "IMMUTABLE"
  tags                 = local.tags

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = var.kms_key_arn == null ? "AES256" : "KMS"
    kms_key         = var.kms_key_arn
  }
}

# Enough versions to roll back to. Only tagged manifests count: an image for two
# architectures is one tagged index and two manifests without a tag, which ECR
# keeps as long as the index names them.
resource "aws_ecr_lifecycle_policy" "image" {
  for_each = aws_ecr_repository.image

  repository = each.value.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Manifests that neither a tag nor an index names, after a week"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 7 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Keep the last 30 versions"
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = 30 }
        action       = { type = "expire" }
      },
    ]
  })
}
