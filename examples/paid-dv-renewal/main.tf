# A paid DV certificate that is renewed with benefit points: minutes to a day,
# nobody is needed, and the server gets the new certificate in the same apply.
#
#     certificate-lab -commercial-ca -- examples/paid-dv-renewal/run.sh
#
# run.sh tells it as a story: the certificate that the account has ends in 20
# days; one apply pays and shows the CA its record, the next one fetches what was
# issued and installs it, and half a year later the same happens again. With an
# account of your own, plan and apply on a schedule.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

# The credential comes from TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY.
provider "certificate" {
  issuers = { tencent = { tencentcloud = {} } }
}

variable "domain" {
  description = "Name on the certificate."
  type        = string
  default     = "www.dv.test"
}

variable "dv_certificate_id" {
  description = "The CA's number of the certificate to renew."
  type        = string
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
  domains      = [var.domain]
  wait_timeout = "3s" # the lab's clock moves by command; without this line an apply waits half an hour

  purchase = {
    product                 = "dnspod-dv"
    original_certificate_id = var.dv_certificate_id
    accept_charges          = true
  }
}

# Deploys nothing until there is a certificate.
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

output "status" {
  description = "Where the certificate stands."
  value       = certificate_renewal.www.status
}

output "standing" {
  description = "The same in words, with what is still to be done."
  value = join("\n", concat(
    ["status       ${certificate_renewal.www.status}"],
    [for o in certificate_renewal.www.obligations : format("  %-20s %-8s %s", o.kind, o.state, o.detail) if o.state != "done"],
    ["certificate  ${coalesce(certificate_renewal.www.not_after, "none yet")}", ""],
  ))
}
