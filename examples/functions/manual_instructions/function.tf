resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

# For the operator of a server that Terraform may not touch.
output "for_the_operator" {
  value = provider::certificate::manual_instructions({
    certificate_pem = certificate_renewal.www.fullchain_pem
    private_key_id  = certificate_renewal.www.private_key_id
    nginx = {
      fullchain_path   = "/etc/nginx/tls/www.pem"
      private_key_path = "/etc/nginx/tls/www.key"
    }
    verify = { address = "10.0.0.9:443" }
  }, "zh")
}
