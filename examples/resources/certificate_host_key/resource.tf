locals {
  web = {
    ssh = {
      address          = "10.0.0.1"
      user             = "deploy"
      host_key         = "SHA256:o2hZuNLmlGFyfVeZPS2yMpdMnBcRuFOhB3QaR1YqYkM"
      private_key_path = "~/.ssh/deploy"
      sudo             = {}
    }
  }
}

# The key is made on the web server and stays there.
resource "certificate_host_key" "www" {
  host              = local.web
  path              = "/etc/nginx/tls/www.key"
  domains           = ["www.example.com"]
  rotate_after_days = 55
}

# Its signing request is what leaves.
resource "certificate_renewal" "www" {
  csr_pem = certificate_host_key.www.csr_pem
}

# Certificate and key are taken into place together.
resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  hosts           = { web = local.web }

  nginx = {
    fullchain_path   = "/etc/nginx/tls/www.pem"
    private_key_path = certificate_host_key.www.private_key_path
  }
}
