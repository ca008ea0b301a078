# A site of IIS, on a Windows host that is reached by WinRM.
resource "certificate_deployment" "iis" {
  certificate_pem = certificate_renewal.www.certificate_pem
  chain_pem       = certificate_renewal.www.chain_pem
  private_key_id  = certificate_renewal.www.private_key_id

  hosts = {
    win1 = {
      winrm = {
        address     = "10.0.0.9"
        user        = "Administrator"
        password_wo = var.windows_password
      }
    }
  }

  iis = {
    site = "Default Web Site"
  }
}

resource "certificate_renewal" "www" {
  domains = ["www.example.com"]
}

variable "windows_password" {
  type      = string
  ephemeral = true
}
