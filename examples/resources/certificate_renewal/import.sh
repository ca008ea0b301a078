# A PEM file with the certificate and its chain. A private key in it is taken
# into the storage; without one it stays where it is.
terraform import certificate_renewal.www /etc/ssl/www/fullchain.pem

# With the private key in a file of its own.
terraform import certificate_renewal.www /etc/ssl/www/fullchain.pem,/etc/ssl/www/privkey.pem
