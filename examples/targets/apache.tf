# Apache httpd: tested, reloaded gracefully, and started again if it is gone after that.
resource "certificate_deployment" "apache" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  apache = {
    fullchain_path   = "/etc/apache2/tls/www.pem"
    private_key_path = "/etc/apache2/tls/www.key"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}
