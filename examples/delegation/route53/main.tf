# Validation led to a responder by records in Amazon Route 53.
terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
    aws         = { source = "hashicorp/aws" }
  }
}

provider "certificate" {
  validation = {
    responder = { url = "https://auth.example.net", token = var.responder_token }
  }
}

provider "aws" {
  region = "eu-central-1"
}

resource "certificate_delegation" "example" {
  domains        = ["example.com", "www.example.com"]
  responder_zone = "auth.example.net" # so that the records are known in the first plan
  zone           = "example.com"
}

resource "aws_route53_record" "validation" {
  for_each = certificate_delegation.example.records

  zone_id = var.zone_id
  name    = each.value.fqdn
  type    = each.value.type
  ttl     = each.value.ttl
  records = [each.value.value]
}

# The CA looks at the records, so they come first.
resource "certificate_renewal" "example" {
  domains    = ["example.com", "*.example.com", "www.example.com"]
  depends_on = [aws_route53_record.validation]
}

variable "zone_id" {
  type        = string
  description = "Hosted zone of example.com."
}

variable "responder_token" {
  type      = string
  sensitive = true
}
