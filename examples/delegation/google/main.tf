# Validation led to a responder by records in Google Cloud DNS.
terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
    google      = { source = "hashicorp/google" }
  }
}

provider "certificate" {
  validation = {
    responder = { url = "https://auth.example.net", token = var.responder_token }
  }
}

provider "google" {
  project = "example"
}

resource "certificate_delegation" "example" {
  domains        = ["example.com", "www.example.com"]
  responder_zone = "auth.example.net" # so that the records are known in the first plan
  zone           = "example.com"
}

# Google takes names with a dot at their end.
resource "google_dns_record_set" "validation" {
  for_each = certificate_delegation.example.records

  managed_zone = var.managed_zone
  name         = each.value.fqdn_dot
  type         = each.value.type
  ttl          = each.value.ttl
  rrdatas      = [each.value.value_dot]
}

# The CA looks at the records, so they come first.
resource "certificate_renewal" "example" {
  domains    = ["example.com", "*.example.com", "www.example.com"]
  depends_on = [google_dns_record_set.validation]
}

variable "managed_zone" {
  type        = string
  description = "Name of the managed zone of example.com."
}

variable "responder_token" {
  type      = string
  sensitive = true
}
