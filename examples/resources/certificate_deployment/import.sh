# The target and the files it has: nginx:FULLCHAIN,KEY or files:FULLCHAIN,KEY
terraform import certificate_deployment.web nginx:/etc/nginx/tls/www.pem,/etc/nginx/tls/www.key
