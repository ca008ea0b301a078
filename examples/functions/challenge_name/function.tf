# _acme-challenge.xn--bcher-kva.example
output "validated_at" {
  value = provider::certificate::challenge_name("*.bücher.example")
}
