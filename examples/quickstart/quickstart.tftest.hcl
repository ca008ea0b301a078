# Run in a lab: certificate-lab -- terraform test

run "serves_what_was_issued" {
  assert {
    condition     = output.served_fingerprint_sha256 == certificate_renewal.www.fingerprint_sha256
    error_message = "The web server serves another certificate than was issued."
  }
}

run "leaves_nothing_to_do" {
  command = plan

  assert {
    condition     = certificate_renewal.www.renew_reason == null
    error_message = "A certificate that was just issued is due already."
  }
}
