# HAProxy, exchanged through the runtime API: not even idle connections are lost.
resource "certificate_deployment" "haproxy" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  haproxy = {
    combined_path = "/etc/haproxy/tls/www.pem"
    socket        = "/run/haproxy/admin.sock"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}
