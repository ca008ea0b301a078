# As a server sends it, whatever the order in the file.
output "fullchain" {
  value = provider::certificate::order_chain(file("${path.module}/shop.pem"))
}
