# The name and the address lead to this machine, and nothing listens on port 443
# while Terraform runs: the provider answers the CA's handshake.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

provider "certificate" {
  issuers = {
    letsencrypt = { acme = { terms_of_service_agreed = true, profile = "shortlived" } }
  }

  validation = {
    tls_alpn_01 = {}
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com", "192.0.2.1"]
}
