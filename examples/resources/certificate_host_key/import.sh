# By the path of the key on its host; the host comes from the configuration.
terraform import certificate_host_key.www /etc/nginx/tls/www.key
