package provider

import "github.com/hashicorp/terraform-plugin-framework/resource/schema"

// renewalOutputs adds the computed attributes to the arguments.
func renewalOutputs(attributes map[string]schema.Attribute) map[string]schema.Attribute {
	for name, description := range map[string]string{
		"id":                 "Identity of the certificate, the same for all its generations.",
		"status":             "`issued`, or where an unfinished order stands: `awaiting_validation`, `issuing`; of a CA that sells also `order_unknown`, `awaiting_information`, `awaiting_document`, `pre_review`, `organization_review`, `rejected`, `cancelled`, `refunded` and others of the guide.",
		"status_reason":      "Why the status is not `issued`.",
		"certificate_pem":    "The certificate alone, PEM.",
		"chain_pem":          "The intermediate certificates, PEM, in the order a server sends them.",
		"fullchain_pem":      "`certificate_pem` and `chain_pem`, as servers like nginx want it.",
		"private_key_id":     "Identity of the private key in the provider's storage, for `certificate_deployment`. It is not the key.",
		"serial_number":      "Serial number in hex.",
		"fingerprint_sha256": "SHA-256 fingerprint of the certificate in hex.",
		"not_before":         "Start of the validity (RFC 3339, UTC).",
		"not_after":          "End of the validity (RFC 3339, UTC).",
		"renew_at":           "When the certificate becomes due (RFC 3339, UTC).",
		"renew_reason":       "Why the certificate is due; null while it is not.",
		"window_opens_at":    "When the renewal window opens (RFC 3339, UTC).",
		"reminder_at":        "The second calendar day after the window opens, when a renewal that is still open should worry somebody (RFC 3339, UTC).",
		"expected_by":        "When an unfinished order should be done at the latest (RFC 3339, UTC); null when there is none.",
		"issuer_used":        "Name of the issuer the certificate came from; null for an imported one.",
	} {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes["private_key_pem"] = schema.StringAttribute{
		Computed: true, Sensitive: true,
		MarkdownDescription: "The private key, PEM; only with `custody = \"state\"`, null otherwise.",
	}
	attributes["generation"] = schema.Int64Attribute{
		Computed:            true,
		MarkdownDescription: "How many certificates this resource has had, the current one included.",
	}
	attributes["carried_over_days"] = schema.Int64Attribute{
		Computed:            true,
		MarkdownDescription: "How many days of the old certificate the current one got, computed from what was issued.",
	}
	attributes["obligations"] = nestedList("What an unfinished order waits for; empty when there is none.", map[string]string{
		"kind":     "`payment`, `information`, `document`, `organization_review`, `domain_validation` or `issuance`.",
		"actor":    "Who has to act: `provider`, `applicant`, who is you, or `ca`.",
		"state":    "`open`, `waiting` for another one, or `done`.",
		"deadline": "Until when (RFC 3339, UTC); null where nobody says.",
		"detail":   "What to do.",
	})
	attributes["validation_records"] = nestedList("What is published for an unfinished order; empty when there is none.", map[string]string{
		"domain": "The name or address that is validated.",
		"name":   "Where the CA looks: the name of a TXT record, the URL of a file, or the server name of a handshake.",
		"type":   "`TXT`, `CNAME`, `http-01` or `tls-alpn-01`.",
		"value":  "The text of the record or the file, or the digest that the handshake shows, in hex.",
		"target": "Where `name` leads and the record is written: the name after CNAMEs, or the file.",
	})
	previous := map[string]schema.Attribute{}
	for name, description := range map[string]string{
		"serial_number":      "Its serial number in hex.",
		"fingerprint_sha256": "Its SHA-256 fingerprint in hex.",
		"not_after":          "When it expires (RFC 3339, UTC).",
	} {
		previous[name] = schema.StringAttribute{Computed: true, MarkdownDescription: description}
	}
	attributes["purchased"] = purchasedAttribute()
	attributes["previous"] = schema.SingleNestedAttribute{
		Computed: true, Attributes: previous,
		MarkdownDescription: "The certificate before this one. It is not revoked and stays valid until it expires.",
	}
	return attributes
}

// nestedList is a computed list of objects with string attributes.
func nestedList(description string, fields map[string]string) schema.Attribute {
	attributes := make(map[string]schema.Attribute, len(fields))
	for name, field := range fields {
		attributes[name] = schema.StringAttribute{Computed: true, MarkdownDescription: field}
	}
	return schema.ListNestedAttribute{
		Computed: true, MarkdownDescription: description,
		NestedObject: schema.NestedAttributeObject{Attributes: attributes},
	}
}
