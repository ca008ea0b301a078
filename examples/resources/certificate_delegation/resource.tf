# Registers the domain, and creates the one record that leads its validation to
# the responder. From then on no run needs a DNS credential.
resource "certificate_delegation" "shop" {
  domain         = "shop.example.com"
  responder_zone = "auth.example.net"
  zone           = "example.com"
}

output "record" {
  value = certificate_delegation.shop.records["shop.example.com"]
}

# Records of a DNS provider take what they need from it:
#
#   AWS      name = each.value.fqdn, type = each.value.type, records = [each.value.value]
#   Azure    name = each.value.name, record = each.value.value
#   Google   name = each.value.fqdn_dot, type = each.value.type, rrdatas = [each.value.value_dot]
#   others   name = each.value.name or fqdn, content = each.value.value
#
# with for_each = certificate_delegation.shop.records; examples/delegation has a
# whole configuration for each.
check "delegation" {
  assert {
    condition     = certificate_delegation.shop.verified
    error_message = join("; ", values(certificate_delegation.shop.problems))
  }
}
