# Apache Tomcat: the key in a keystore, loaded by the manager without a restart.
resource "certificate_deployment" "tomcat" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  tomcat = {
    keystore = {
      path        = "/etc/tomcat10/tls/keystore.p12"
      password_wo = var.store_password
    }
    manager = {
      url         = "http://127.0.0.1:8080"
      username    = "deployer" # with the role manager-script
      password_wo = var.manager_password
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

variable "manager_password" {
  type      = string
  ephemeral = true
}
