// Command terraform-provider-certificate serves the certificate provider to Terraform and OpenTofu.
package main

func main() {}
