# Oracle WebLogic Server with a custom identity keystore: its TLS channels are restarted.
resource "certificate_deployment" "weblogic" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  weblogic = {
    keystore = {
      path        = "/u01/domains/base/tls/identity.jks"
      type        = "JKS"
      alias       = "server"
      password_wo = var.store_password
    }
    management = {
      url         = "https://127.0.0.1:7002"
      username    = "deployer"
      password_wo = var.management_password
    }
  }

  verify = { address = "127.0.0.1:7002" }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "store_password" {
  type      = string
  ephemeral = true
}

variable "management_password" {
  type      = string
  ephemeral = true
}
