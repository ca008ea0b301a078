# Apache httpd: tried out on a spare port, tested, reloaded gracefully, and started
# again if it is gone after that.
resource "certificate_deployment" "apache" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  apache = {
    fullchain_path   = "/etc/apache2/tls/www.pem"
    private_key_path = "/etc/apache2/tls/www.key"
    dry_start        = true
  }
}

# On Windows, as a service.
resource "certificate_deployment" "apache_on_windows" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  hosts = {
    win1 = {
      winrm = {
        address     = "10.0.0.9"
        user        = "Administrator"
        password_wo = var.windows_password
      }
    }
  }

  apache = {
    fullchain_path   = "C:\\Apache24\\conf\\tls\\www.pem"
    private_key_path = "C:\\Apache24\\conf\\tls\\www.key"
    server_root      = "C:\\Apache24"
    service          = "Apache2.4"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "windows_password" {
  type      = string
  ephemeral = true
}
