resource "certificate_renewal" "www" {
  domains = ["www.example.com", "*.example.com"]
}

# Renewed by the details of a certificate that exists already.
resource "certificate_renewal" "shop" {
  original_certificate_pem = file("${path.module}/shop.pem")

  private_key = {
    algorithm = "ECDSA_P384"
    rotate    = true
  }

  renewal = {
    window_days = 30
  }
}
