# No provider block: this folder is applied as it is, with region and
# credentials from the environment (AWS_REGION, AWS_PROFILE), and it is called
# as a module, with the caller's provider (examples/complete).
terraform {
  required_version = ">= 1.6"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.80"
    }
  }
}
