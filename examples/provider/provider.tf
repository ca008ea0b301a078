terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

variable "responder_token" {
  description = "Token of the certificate-dns responder."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "storage_identity" {
  description = "age identity (from age-keygen) that protects what is stored."
  type        = string
  sensitive   = true
  ephemeral   = true
}

provider "certificate" {
  issuers = {
    letsencrypt = {
      acme = {
        email                   = "ops@example.com"
        terms_of_service_agreed = true
      }
    }
  }

  validation = {
    responder = {
      url   = "https://auth.example.net"
      token = var.responder_token
    }
  }

  storage = {
    directory  = { path = "/var/lib/terraform-certificates" }
    encryption = { age_identity = var.storage_identity }
  }
}
