resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

# nginx on this machine: tested, reloaded, and proven by handshakes on port 443.
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  nginx = {
    fullchain_path   = "/etc/nginx/tls/www.pem"
    private_key_path = "/etc/nginx/tls/www.key"
  }
}

# Any other server: its files, and the command that has it load them.
resource "certificate_deployment" "mail" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  files = {
    combined_path  = "/etc/haproxy/certs/www.pem"
    reload_command = ["systemctl", "reload", "haproxy"]
  }

  verify = {
    address     = "127.0.0.1:8443"
    server_name = "www.example.com"
    consecutive = 5
  }
}
