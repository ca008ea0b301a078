package provider

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/certiform/terraform-provider-certificate/internal/challenge"
	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// usualLongest is how long a domain-validated order may take: CAs say from ten
// minutes to a day.
const usualLongest = 24 * time.Hour

func obligationType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"kind": types.StringType, "actor": types.StringType, "state": types.StringType,
		"deadline": types.StringType, "detail": types.StringType,
	}}
}

func recordType() types.ObjectType {
	return types.ObjectType{AttrTypes: map[string]attr.Type{
		"domain": types.StringType, "name": types.StringType, "type": types.StringType,
		"value": types.StringType, "target": types.StringType,
	}}
}

// setOpen writes an order that is not finished: what it waits for, who has to
// act, and the records that are published for it. What was issued before stays.
func (m *renewalModel) setOpen(j order.Journal) {
	reason := "the CA has not finished the order " + j.OrderID
	if j.Detail != "" {
		reason += ": " + j.Detail
	}
	m.Status, m.StatusReason = types.StringValue(string(j.Status)), types.StringValue(reason)
	if j.Intent.Options.Purchase != (order.Purchase{}) {
		m.RenewReason = types.StringNull() // until the CA is seen to have got further
	}
	if m.Certificate.IsNull() {
		m.setPurchased(j)
	} else {
		m.setOpenOrder(j)
	}
	m.ExpectedBy = timestamp(j.CreatedAt.Add(usualLongest))
	if !j.ExpectedBy.IsZero() {
		m.ExpectedBy = timestamp(j.ExpectedBy)
	}
	m.Obligations = listOf(obligationType(), obligationsOf(j))
	records := make([]map[string]attr.Value, len(j.Records))
	for n, r := range j.Records {
		records[n] = map[string]attr.Value{
			"domain": types.StringValue(r.Domain), "name": types.StringValue(r.Name), "type": types.StringValue(recordTypeOf(r)),
			"value": types.StringValue(r.Value), "target": types.StringValue(r.Target),
		}
	}
	m.ValidationRecords = listOf(recordType(), records)
}

// obligationsOf are what an order waits for, as its issuer says or as it is with
// ACME.
func obligationsOf(j order.Journal) []map[string]attr.Value {
	if len(j.Obligations) > 0 || j.Paid {
		values := make([]map[string]attr.Value, len(j.Obligations))
		for n, o := range j.Obligations {
			values[n] = obligation(o.Kind, o.Actor, o.State, o.Detail)
			if !o.Deadline.IsZero() {
				values[n]["deadline"] = timestamp(o.Deadline)
			}
		}
		return values
	}
	validation, issuance := "open", "waiting"
	if j.Status == order.StatusIssuing {
		validation, issuance = "done", "open"
	}
	return []map[string]attr.Value{
		obligation("domain_validation", "provider", validation, "publish the validation records of "+j.Names()),
		obligation("issuance", "ca", issuance, "issue the certificate"),
	}
}

// recordTypeOf is what people call a record by. Records of older journals say
// nothing, and are of DNS.
func recordTypeOf(r order.Record) string {
	if r.Type == "" || r.Type == challenge.DNS01 {
		return "TXT"
	}
	return r.Type
}

// noOpenOrder empties what describes an unfinished order.
func (m *renewalModel) noOpenOrder() {
	m.ExpectedBy = types.StringNull()
	m.Obligations, m.ValidationRecords = listOf(obligationType(), nil), listOf(recordType(), nil)
}

func obligation(kind, actor, state, detail string) map[string]attr.Value {
	return map[string]attr.Value{
		"kind": types.StringValue(kind), "actor": types.StringValue(actor), "state": types.StringValue(state),
		"deadline": types.StringNull(), "detail": types.StringValue(detail),
	}
}

func listOf(kind types.ObjectType, values []map[string]attr.Value) types.List {
	elements := make([]attr.Value, len(values))
	for n, value := range values {
		elements[n] = types.ObjectValueMust(kind.AttrTypes, value)
	}
	return types.ListValueMust(kind, elements)
}

// reportOpenText says where an unfinished order stands.
func reportOpenText(m renewalModel, w wanted) string {
	return fmt.Sprintf("%s: the order is %s after %s (%s). It is recorded, and the next apply goes on with it.",
		strings.Join(w.names, ", "), strings.ReplaceAll(m.Status.ValueString(), "_", " "), w.wait, m.StatusReason.ValueString())
}
