# An SM2 pair of a commercial CA, renewed and put on a server of TLCP.
#
# Try it offline: make build, and then
#   bin/certificate-lab -commercial-ca -- examples/sm2-nginx/run.sh

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

# The credential comes from the environment (TENCENTCLOUD_SECRET_ID, …).
provider "certificate" {
  issuers = { tencent = { tencentcloud = {} } }
}

variable "sm2_certificate_id" {
  description = "The CA's number of the certificate that is renewed the first time."
  type        = string
}

variable "deploy" {
  description = "Set it when the certificate is issued the first time: there is nothing to deploy before. Later ones are deployed by the apply that fetches them."
  type        = bool
  default     = false
}

variable "tlcp_address" {
  description = "host:port of the Tengine or Tongsuo on this machine; without one the pair is only written to files."
  type        = string
  default     = null
}

variable "folder" {
  description = "Where the server's files are."
  type        = string
  default     = "/etc/nginx/tls"
}

resource "certificate_renewal" "www" {
  domains      = ["www.sm2.test"]
  wait_timeout = "5s"

  # No key type: an SM2 product has SM2 keys.
  purchase = {
    product                 = "dnspod-sm2-ov"
    accept_charges          = true
    original_certificate_id = var.sm2_certificate_id
  }
}

locals {
  pair = certificate_renewal.www.purchased
}

# Four files, one reload, and a handshake of TLCP that proves both certificates.
resource "certificate_deployment" "www" {
  count = var.deploy && var.tlcp_address != null ? 1 : 0

  certificate_pem           = certificate_renewal.www.fullchain_pem
  private_key_id            = certificate_renewal.www.private_key_id
  encryption_fullchain_pem  = local.pair.encryption_fullchain_pem
  encryption_private_key_id = local.pair.encryption_private_key_id

  nginx = {
    fullchain_path              = "${var.folder}/sign.pem"
    private_key_path            = "${var.folder}/sign.key"
    encryption_fullchain_path   = "${var.folder}/enc.pem"
    encryption_private_key_path = "${var.folder}/enc.key"
  }

  verify = { address = var.tlcp_address }
}

# Without such a server there is nobody to ask: each half is a deployment to files.
resource "certificate_deployment" "signing" {
  count = var.deploy && var.tlcp_address == null ? 1 : 0

  certificate_pem = certificate_renewal.www.fullchain_pem
  private_key_id  = certificate_renewal.www.private_key_id
  files = {
    fullchain_path   = "${var.folder}/sign.pem"
    private_key_path = "${var.folder}/sign.key"
  }
}

resource "certificate_deployment" "encryption" {
  count = var.deploy && var.tlcp_address == null ? 1 : 0

  certificate_pem = local.pair.encryption_fullchain_pem
  private_key_id  = local.pair.encryption_private_key_id
  files = {
    fullchain_path   = "${var.folder}/enc.pem"
    private_key_path = "${var.folder}/enc.key"
  }
}

output "status" {
  description = "Where the order stands."
  value       = certificate_renewal.www.status
}

output "order_id" {
  description = "The CA's number of the order."
  value       = certificate_renewal.www.purchased == null ? "" : local.pair.certificate_id
}

output "validation_records" {
  description = "What has to be in DNS, while something has."
  value       = certificate_renewal.www.validation_records
}
