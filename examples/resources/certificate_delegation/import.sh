# The domain, or several with commas between; they have to be registered at the responder.
terraform import certificate_delegation.shop shop.example.com
