# GlassFish: the domain is restarted.
resource "certificate_deployment" "glassfish" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  glassfish = {
    keystore = {
      path        = "/opt/glassfish7/glassfish/domains/domain1/config/keystore.p12"
      password_wo = var.master_password
    }
    restart_command = ["/opt/glassfish7/bin/asadmin", "restart-domain"]
  }

  verify = { address = "127.0.0.1:8181", timeout = "5m" }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "master_password" {
  type      = string
  ephemeral = true
}
