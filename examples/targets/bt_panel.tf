# A site of a BT panel (宝塔面板).
resource "certificate_deployment" "bt_panel" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  bt_panel = {
    url        = "https://127.0.0.1:8888"
    site       = "www.example.com"
    api_key_wo = var.panel_key
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "panel_key" {
  type      = string
  ephemeral = true
}
