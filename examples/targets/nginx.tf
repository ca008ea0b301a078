# nginx on two hosts: which files it has for the name is read from its own
# configuration; tested, reloaded, and proven on port 443 of each host.
resource "certificate_deployment" "nginx" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  hosts = {
    web1 = { ssh = { address = "10.0.0.1", user = "deploy", known_hosts = var.known_hosts, sudo = {} } }
    web2 = { ssh = { address = "10.0.0.2", user = "deploy", known_hosts = var.known_hosts, sudo = {} } }
  }

  nginx = {
    server_name = "www.example.com"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "known_hosts" {
  description = "Content of a known_hosts file with the keys of all hosts."
  type        = string
}
