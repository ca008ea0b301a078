# The account's key is replaced with the next order: first the key that the
# provider made, then one of your own. Certificates and open orders stay.
terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
  }
}

variable "account_key" {
  type      = string
  sensitive = true
}

variable "previous_account_key" {
  type      = string
  sensitive = true
}

provider "certificate" {
  issuers = {
    letsencrypt = {
      acme = {
        terms_of_service_agreed = true
        account_key_version     = "2026-12-01" # any value it never had
      }
    }
    zerossl = {
      acme = {
        directory_url            = "https://acme.zerossl.com/v2/DV90"
        terms_of_service_agreed  = true
        account_key_pem          = var.account_key
        previous_account_key_pem = var.previous_account_key
      }
    }
  }
}
