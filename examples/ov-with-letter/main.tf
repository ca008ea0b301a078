# A paid OV certificate of a brand that wants a stamped letter: three to five
# working days, a person who stamps, and the CA's call to the company.
#
#     certificate-lab -commercial-ca -- examples/ov-with-letter/run.sh
#
# run.sh tells it as a story. The first apply pays and returns; the letter is
# there to print. The apply after the scan was given uploads it. On the days in
# which people at the CA work, plan has nothing to do and exits with 0, and one
# day the apply of the schedule finds the certificate issued. Nothing is paid for
# twice, and no apply waits for people.

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
  default     = "www.ov.test"
}

variable "ov_certificate_id" {
  description = "The CA's number of the certificate to renew."
  type        = string
}

variable "stamped_letter" {
  description = "File with the scan of the stamped letter, once there is one: jpg, png or pdf."
  type        = string
  default     = null
}

resource "certificate_renewal" "www" {
  domains      = [var.domain]
  wait_timeout = "3s" # the lab's clock moves by command

  purchase = {
    product                    = "securesite-ov"
    original_certificate_id    = var.ov_certificate_id
    accept_charges             = true
    confirmation_letter_base64 = var.stamped_letter == null ? null : filebase64(var.stamped_letter)
  }
}

# terraform output -raw letter | base64 -d >letter.docx
output "letter" {
  description = "The letter to print and stamp, in base64."
  value       = nonsensitive(provider::certificate::confirmation_letter(certificate_renewal.www, "Example Ltd."))
}

output "expected_by" {
  description = "When the CA should be done at the latest."
  value       = coalesce(certificate_renewal.www.expected_by, "-")
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
