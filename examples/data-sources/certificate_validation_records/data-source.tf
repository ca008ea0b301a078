locals {
  domains = ["example.com", "*.example.com", "www.example.com"]
}

data "certificate_validation_records" "example" {
  domains        = local.domains
  responder_zone = "auth.example.net"
  zone           = "example.com"
}

# The records to create once, with any DNS provider's resource. For Amazon Route
# 53 that is
#
#   resource "aws_route53_record" "validation" {
#     for_each = data.certificate_validation_records.example.records
#
#     zone_id = aws_route53_zone.example.zone_id
#     name    = each.value.fqdn
#     type    = each.value.type
#     ttl     = each.value.ttl
#     records = [each.value.value]
#   }
#
# and where names are relative to the zone, each.value.name.
output "records" {
  value = data.certificate_validation_records.example.records
}

# From then on no run needs a DNS credential.
resource "certificate_renewal" "example" {
  domains = local.domains
}
