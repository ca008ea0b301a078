# The names lead to a web server on this machine: the CA fetches a file from it.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

provider "certificate" {
  issuers = {
    letsencrypt = { acme = { terms_of_service_agreed = true } }
  }

  validation = {
    http_01 = { webroot = "/var/www/html" } # or listen = ":80" where nothing else does
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com", "example.com"]
}
