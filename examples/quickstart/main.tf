# A certificate that is renewed in its window, and the server that serves it.
#
# Try it offline: make demo runs this file beside a local CA.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

# Let's Encrypt and a certificate-dns responder; both come from the environment
# in the lab (CERTIFICATE_ACME_DIRECTORY_URL, CERTIFICATE_RESPONDER_URL, …).
provider "certificate" {}

variable "domain" {
  description = "Name of the website."
  type        = string
  default     = "www.example.test"
}

variable "fullchain_path" {
  description = "File the web server reads its certificate and chain from."
  type        = string
}

variable "private_key_path" {
  description = "File the web server reads its private key from."
  type        = string
}

variable "reload_command" {
  description = "Program and arguments that have the web server load the files."
  type        = list(string)
}

variable "web_address" {
  description = "host:port of the web server, to prove what it serves."
  type        = string
}

resource "certificate_renewal" "www" {
  domains = [var.domain]
}

resource "certificate_deployment" "www" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  files = {
    fullchain_path   = var.fullchain_path
    private_key_path = var.private_key_path
    reload_command   = var.reload_command
  }

  verify = {
    address     = var.web_address
    server_name = var.domain
  }
}

output "serial_number" {
  description = "Serial number of the certificate in force."
  value       = certificate_renewal.www.serial_number
}

output "served_fingerprint_sha256" {
  description = "Fingerprint of what the web server serves."
  value       = certificate_deployment.www.served_fingerprint_sha256
}

output "not_after" {
  description = "When the certificate expires."
  value       = certificate_renewal.www.not_after
}

output "renew_at" {
  description = "When it will be renewed."
  value       = certificate_renewal.www.renew_at
}
