# Account keys, private keys and orders in a database that several machines
# share, encrypted to the identity of the runs and to one for emergencies.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

variable "storage_url" {
  description = "postgres://user:password@host:5432/database"
  type        = string
  sensitive   = true
}

variable "storage_identity" {
  description = "age identity, from age-keygen."
  type        = string
  sensitive   = true
}

variable "emergency_recipient" {
  description = "Public part (age1…) of an age identity that is kept in a safe."
  type        = string
}

provider "certificate" {
  storage = {
    postgres = { url = var.storage_url }
    encryption = {
      age_identity   = var.storage_identity
      age_recipients = [var.emergency_recipient]
    }
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}
