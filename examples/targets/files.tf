variable "keystore_password" {
  type      = string
  sensitive = true
  ephemeral = true
}

# A program that reads a keystore, and a copy of the chain for those who trust it.
resource "certificate_deployment" "app" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  files = {
    keystore = {
      path        = "/etc/app/tls/keystore.p12"
      alias       = "app"
      password_wo = var.keystore_password
    }
    pkcs7_path       = "/etc/app/tls/chain.p7b"
    private_key_mode = "0640"
    reload_command   = ["systemctl", "restart", "app"]
  }

  verify = {
    address = "127.0.0.1:8443"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}
