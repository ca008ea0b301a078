variable "stamped_letter" {
  description = "The scan of the stamped letter, once there is one."
  type        = string
  default     = null
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]

  purchase = {
    product                    = "securesite-ov"
    original_certificate_id    = "aBcD1234"
    accept_charges             = true
    confirmation_letter_base64 = var.stamped_letter == null ? null : filebase64(var.stamped_letter)
  }
}

# terraform output -raw letter | base64 -d >letter.docx
output "letter" {
  value = nonsensitive(provider::certificate::confirmation_letter(certificate_renewal.www, "Example Ltd."))
}
