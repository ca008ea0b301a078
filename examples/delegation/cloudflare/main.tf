# Validation led to a responder by records in Cloudflare.
terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
    cloudflare  = { source = "cloudflare/cloudflare" }
  }
}

provider "certificate" {
  validation = {
    responder = { url = "https://auth.example.net", token = var.responder_token }
  }
}

provider "cloudflare" {} # takes CLOUDFLARE_API_TOKEN from the environment

resource "certificate_delegation" "example" {
  domains        = ["example.com", "www.example.com"]
  responder_zone = "auth.example.net" # so that the records are known in the first plan
  zone           = "example.com"
}

# Not proxied: Cloudflare would answer with addresses of its own.
resource "cloudflare_dns_record" "validation" {
  for_each = certificate_delegation.example.records

  zone_id = var.zone_id
  name    = each.value.fqdn
  type    = each.value.type
  ttl     = each.value.ttl
  content = each.value.value
  proxied = false
}

# The CA looks at the records, so they come first.
resource "certificate_renewal" "example" {
  domains    = ["example.com", "*.example.com", "www.example.com"]
  depends_on = [cloudflare_dns_record.validation]
}

variable "zone_id" {
  type        = string
  description = "Zone of example.com."
}

variable "responder_token" {
  type      = string
  sensitive = true
}
