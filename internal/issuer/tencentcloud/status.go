package tencentcloud

import (
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// The states of a certificate as the API numbers them.
const (
	statusReviewing        = 0
	statusIssued           = 1
	statusFailed           = 2
	statusExpired          = 3
	statusRecordAdded      = 4
	statusInformation      = 5
	statusCancelling       = 6
	statusCancelled        = 7
	statusLetter           = 8
	statusRevoking         = 9
	statusRevoked          = 10
	statusReissuing        = 11
	statusRevocationLetter = 12
	statusFreeInformation  = 13
	statusRefunded         = 14
	statusMigrating        = 15
)

// statusOf puts the CA's number and words into ours. The words can be of
// yesterday, in lower case, or missing: the number decides.
func statusOf(status uint64, words string, product Product, records bool) order.Status {
	switch status {
	case statusIssued:
		return order.StatusIssued
	case statusFailed:
		return order.StatusRejected
	case statusExpired:
		return order.StatusExpired
	case statusRecordAdded:
		return order.StatusAwaitingValidation
	case statusInformation, statusFreeInformation:
		return order.StatusAwaitingInformation
	case statusCancelling:
		return order.StatusCancelling
	case statusCancelled:
		return order.StatusCancelled
	case statusLetter:
		return order.StatusAwaitingDocument
	case statusRevoking, statusRevocationLetter:
		return order.StatusRevoking
	case statusRevoked:
		return order.StatusRevoked
	case statusReissuing:
		return order.StatusReissuing
	case statusRefunded:
		return order.StatusRefunded
	case statusReviewing:
		return reviewing(strings.ToUpper(words), product, records)
	}
	return order.StatusUncertain // 15, and what the API will know one day
}

func reviewing(words string, product Product, records bool) order.Status {
	switch words {
	case "PRE-REVIEWING":
		return order.StatusPreReview
	case "LEGAL-REVIEWING":
		return order.StatusOrganizationReview
	case "CA-REVIEWING":
		if product.Level == "dv" {
			return order.StatusIssuing
		}
		return order.StatusOrganizationReview
	case "PENDING-DCV":
		return order.StatusAwaitingValidation
	case "WAIT-ISSUE":
		return order.StatusIssuing
	}
	if records {
		return order.StatusAwaitingValidation
	}
	return order.StatusOrganizationReview
}
