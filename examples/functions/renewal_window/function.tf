# Reminds people by the calendar of their own tools.
output "shop_renewal" {
  value = provider::certificate::renewal_window(file("${path.module}/shop.pem"), 30)
}
