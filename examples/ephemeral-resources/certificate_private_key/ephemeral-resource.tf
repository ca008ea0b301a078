resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

ephemeral "certificate_private_key" "www" {
  private_key_id  = certificate_renewal.www.private_key_id
  certificate_pem = certificate_renewal.www.certificate_pem
}

# Any provider's write-only argument takes the key; here one of this provider.
# Terraform does not see that the key changed: the version says so.
resource "certificate_deployment" "web" {
  certificate_pem            = certificate_renewal.www.certificate_pem
  chain_pem                  = certificate_renewal.www.chain_pem
  private_key_pem_wo         = ephemeral.certificate_private_key.www.private_key_pem
  private_key_pem_wo_version = certificate_renewal.www.generation

  files = {
    fullchain_path   = "/etc/tls/www.pem"
    private_key_path = "/etc/tls/www.key"
  }
}
