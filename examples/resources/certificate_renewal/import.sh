# A PEM file with the certificate and its chain; the private key stays where it is.
terraform import certificate_renewal.www /etc/ssl/www/fullchain.pem

# With the private key, which is taken into the provider's storage.
terraform import certificate_renewal.www /etc/ssl/www/fullchain.pem,/etc/ssl/www/privkey.pem
