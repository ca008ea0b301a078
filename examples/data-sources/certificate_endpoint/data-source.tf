# What the shop serves now, whatever that is.
data "certificate_endpoint" "shop" {
  address = "shop.example.com:443"
}

output "shop_certificate" {
  value = {
    names     = data.certificate_endpoint.shop.names
    issuer    = data.certificate_endpoint.shop.issuer
    not_after = data.certificate_endpoint.shop.not_after
  }
}

# A check warns and stops nothing: here of a server that clients do not trust,
# or that does not answer.
check "mail_is_trusted" {
  data "certificate_endpoint" "mail" {
    address           = "192.0.2.25:465"
    server_name       = "mail.example.com"
    timeout           = "3s"
    allow_unreachable = true
  }

  assert {
    condition     = data.certificate_endpoint.mail.reachable
    error_message = "The mail server does not answer: ${coalesce(data.certificate_endpoint.mail.unreachable_reason, "no reason")}"
  }

  assert {
    condition     = data.certificate_endpoint.mail.verified != false
    error_message = "The mail server is not trusted: ${coalesce(data.certificate_endpoint.mail.verification_error, "no reason")}"
  }
}
