# Configuration of certificate-dns. Try it with: certificate-dns check certificate-dns.hcl
#
# Delegate to this server once, at whoever serves example.com:
#
#   auth.example.com.                 NS     ns1.auth.example.com.
#   ns1.auth.example.com.             A      192.0.2.53
#   _acme-challenge.www.example.com.  CNAME  www.auth.example.com.

# Addresses that answer DNS, over UDP and TCP. Several are fine.
listen = ["192.0.2.53:53", "[2001:db8::53]:53"]

# The file that keeps the validation records. Its folder must exist.
storage = "/var/lib/certificate-dns/records.db"

# The HTTP API that Terraform uses to put and delete records.
api {
  listen           = "192.0.2.53:443"
  certificate_file = "/etc/certificate-dns/tls.crt" # with the chain, leaf first
  key_file         = "/etc/certificate-dns/tls.key" # both are read again when they change
}

zone "auth.example.com" {
  nameservers = ["ns1.auth.example.com"]
  hostmaster  = "hostmaster@example.com"

  # Records that never change, as lines of a zone file. Names are relative to
  # the zone, @ is the zone itself.
  records = <<-EOT
    ns1  A     192.0.2.53
    ns1  AAAA  2001:db8::53
    @    CAA   0 issue "letsencrypt.org"
  EOT
}

# One block for each who may put records. `certificate-dns token` prints a new
# token and the line to write here; only the hash is kept on this machine.
token "terraform" {
  sha256 = "0000000000000000000000000000000000000000000000000000000000000000" # replace me
  names  = ["*.auth.example.com"] # every name below; or exact names
}
