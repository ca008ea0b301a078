# A certificate that somebody renews and pays for in the console: Terraform takes
# the order over, shows the CA its record, and fetches the certificate.
#
#     certificate-lab -commercial-ca -- examples/adopt-console-order/run.sh
#
# run.sh tells it as a story. The certificate in the account is imported by its
# number. It is due; source = "adopt" buys nothing and says that somebody has to.
# After that happened, the next apply finds the order by its link to the
# certificate before. The same configuration takes what the CA's automatic renewal
# orders, and the certificates of a service of several years.

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
  description = "The CA's number of the certificate in the account."
  type        = string
}

# Needed for the first apply only.
import {
  to = certificate_renewal.www
  id = "certificate:tencent/${var.dv_certificate_id}"
}

resource "certificate_renewal" "www" {
  domains      = [var.domain]
  wait_timeout = "3s" # the lab's clock moves by command

  purchase = {
    source = "adopt"
  }
}

output "generation" {
  description = "How many certificates the resource has had."
  value       = certificate_renewal.www.generation
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
