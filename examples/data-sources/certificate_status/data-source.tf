resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

# Warns in every plan and apply when a renewal did not happen in time, or when
# a server is about to serve an expired certificate.
check "certificates" {
  data "certificate_status" "all" {
    certificates_pem = {
      www = certificate_renewal.www.certificate_pem
    }

    endpoints = {
      shop = { address = "shop.example.com:443" }
      mail = { address = "192.0.2.25:465", server_name = "mail.example.com" }
    }

    within_days = 10
    time_zone   = "Europe/Berlin"
  }

  assert {
    condition     = length(data.certificate_status.all.reminding) == 0
    error_message = "Renewals are overdue: ${join(", ", data.certificate_status.all.reminding)}."
  }

  assert {
    condition     = length(setunion(data.certificate_status.all.expiring, data.certificate_status.all.expired)) == 0
    error_message = "Expiring or expired: ${jsonencode({ for name, c in data.certificate_status.all.certificates : name => c.reason if contains(["expiring", "expired"], c.status) })}."
  }
}

# The list of what is to be renewed.
data "certificate_status" "inventory" {
  certificates_pem = { for name in fileset(path.module, "*.pem") : name => file("${path.module}/${name}") }
}

output "due" {
  value = { for name in data.certificate_status.inventory.due : name => data.certificate_status.inventory.certificates[name].reason }
}

# What is due in the account of a commercial CA, and nobody renews.
data "certificate_status" "account" {
  issuer           = "tencent"
  certificates_pem = { www = certificate_renewal.www.certificate_pem }
}

output "forgotten" {
  value = { for c in data.certificate_status.account.account : c.id => c.names if c.needs_resource }
}
