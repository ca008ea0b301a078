# The records are written into a zone of BIND, Knot or PowerDNS by dynamic updates
# that are signed with a key.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

variable "tsig_secret" {
  description = "Secret of the TSIG key, as tsig-keygen prints it."
  type        = string
  sensitive   = true
  ephemeral   = true
}

provider "certificate" {
  issuers = {
    letsencrypt = { acme = { terms_of_service_agreed = true } }
  }

  validation = {
    rfc2136 = {
      server   = "ns1.example.com"
      key_name = "terraform"
      secret   = var.tsig_secret
    }
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com", "*.example.com"]
}
