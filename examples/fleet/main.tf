# One certificate for a fleet of web servers: first a canary, then five at a time.

terraform {
  required_providers {
    certificate = {
      source = "certiform/certificate"
    }
  }
}

variable "known_hosts" {
  description = "Content of a known_hosts file with the keys of all hosts."
  type        = string
}

variable "deploy_key" {
  description = "Private key of the user deploy."
  type        = string
  ephemeral   = true
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

resource "certificate_deployment" "web" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  hosts = {
    for name, address in { web1 = "10.0.0.1", web2 = "10.0.0.2", web3 = "10.0.0.3" } : name => {
      ssh = {
        address        = address
        user           = "deploy"
        known_hosts    = var.known_hosts
        private_key_wo = var.deploy_key
        sudo           = {}
      }
    }
  }

  nginx = {
    fullchain_path   = "/etc/nginx/tls/www.pem"
    private_key_path = "/etc/nginx/tls/www.key"
  }

  verify = {
    server_name = "www.example.com"
  }

  rollout = {
    canary       = 1
    max_parallel = 5
    max_failures = 0
  }
}

output "hosts" {
  value = certificate_deployment.web.host_results
}
