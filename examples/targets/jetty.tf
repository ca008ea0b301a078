# Eclipse Jetty with its module ssl-reload, which sees the new keystore.
resource "certificate_deployment" "jetty" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  jetty = {
    keystore = {
      path        = "/etc/jetty9/tls/keystore.p12"
      password_wo = var.store_password
    }
  }

  verify = { address = "127.0.0.1:8443" }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "store_password" {
  type      = string
  ephemeral = true
}
