output "shop_expires" {
  value = provider::certificate::parse(file("${path.module}/shop.pem")).not_after
}
