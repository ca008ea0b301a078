module github.com/certiform/terraform-provider-certificate/tools/benchdns

go 1.26.0
