# A mail server: the certificate is proven in SMTP, after STARTTLS. On destroy it
# gets back what it had.
resource "certificate_deployment" "mail" {
  certificate_pem = certificate_renewal.mail.certificate_pem
  chain_pem       = certificate_renewal.mail.chain_pem
  private_key_id  = certificate_renewal.mail.private_key_id

  files = {
    fullchain_path   = "/etc/postfix/tls/mail.pem"
    private_key_path = "/etc/postfix/tls/mail.key"
    test_command     = ["postfix", "check"]
    reload_command   = ["postfix", "reload"]
  }

  verify = {
    starttls = "smtp"
  }

  on_destroy = "restore"
}

resource "certificate_renewal" "mail" {
  domains = ["mail.example.com"]
}
