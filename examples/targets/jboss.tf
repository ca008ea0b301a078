# WildFly: key-store and key-manager of Elytron are loaded anew, without a restart.
resource "certificate_deployment" "jboss" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  jboss = {
    keystore = {
      path        = "/opt/wildfly/standalone/configuration/tls/server.p12"
      password_wo = var.store_password
    }
    management = {
      url         = "http://127.0.0.1:9990"
      username    = "deployer"
      password_wo = var.management_password
    }
    key_store   = "web"
    key_manager = "webKM"
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

variable "management_password" {
  type      = string
  ephemeral = true
}
