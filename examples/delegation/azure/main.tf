# Validation led to a responder by records in Azure DNS.
terraform {
  required_providers {
    certificate = { source = "certiform/certificate" }
    azurerm     = { source = "hashicorp/azurerm" }
  }
}

provider "certificate" {
  validation = {
    responder = { url = "https://auth.example.net", token = var.responder_token }
  }
}

provider "azurerm" {
  features {}
}

resource "certificate_delegation" "example" {
  domains        = ["example.com", "www.example.com"]
  responder_zone = "auth.example.net" # so that the records are known in the first plan
  zone           = "example.com"
}

# Azure takes names relative to the zone.
resource "azurerm_dns_cname_record" "validation" {
  for_each = certificate_delegation.example.records

  resource_group_name = var.resource_group
  zone_name           = "example.com"
  name                = each.value.name
  ttl                 = each.value.ttl
  record              = each.value.value
}

# The CA looks at the records, so they come first.
resource "certificate_renewal" "example" {
  domains    = ["example.com", "*.example.com", "www.example.com"]
  depends_on = [azurerm_dns_cname_record.validation]
}

variable "resource_group" {
  type        = string
  description = "Resource group of the zone."
}

variable "responder_token" {
  type      = string
  sensitive = true
}
