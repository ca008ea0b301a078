package tencentsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
)

// parse reads the parameters of a request strictly, as the API does: one that it
// does not know, of another type, or that is missing is refused. The fields of T
// are the parameters; one that is tagged sim:"required" has to be there.
func parse[T any](body []byte) (T, error) {
	var parameters T
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&parameters)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		return parameters, refuse("InvalidParameter", "the parameter %s wants a %s and got a %s", wrongType.Field, wrongType.Type, wrongType.Value)
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return parameters, refuse("UnknownParameter", "the parameter %s is not known", err.Error()[strings.LastIndex(err.Error(), " ")+1:])
	case err != nil && !errors.Is(err, io.EOF):
		return parameters, refuse("InvalidParameter", "the body is no JSON object: %s", err)
	}
	if _, err := decoder.Token(); err == nil {
		return parameters, refuse("InvalidParameter", "the body goes on after its JSON object")
	}
	if err := spelled(body, reflect.TypeFor[T]()); err != nil {
		return parameters, err
	}
	value := reflect.ValueOf(parameters)
	for n := range value.NumField() {
		field := value.Type().Field(n)
		if field.Tag.Get("sim") == "required" && value.Field(n).IsZero() {
			return parameters, refuse("MissingParameter", "the request is missing the parameter %s", field.Name)
		}
	}
	return parameters, nil
}

// spelled refuses parameters in other letters than theirs, which encoding/json
// lets pass.
func spelled(body []byte, parameters reflect.Type) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return nil // empty, or refused before
	}
	for name := range given {
		if _, ok := parameters.FieldByName(name); !ok {
			return refuse("UnknownParameter", "the parameter %q is not known", name)
		}
	}
	return nil
}

// handler makes an action of a function of its parameters.
func handler[T any](run func(*Simulator, T) (any, error)) func(*Simulator, []byte) (any, error) {
	return func(s *Simulator, body []byte) (any, error) {
		parameters, err := parse[T](body)
		if err != nil {
			return nil, err
		}
		return run(s, parameters)
	}
}

// tag is a label of a certificate.
type tag struct{ TagKey, TagValue string }

// actions are those that are played.
func actions() map[string]func(*Simulator, []byte) (any, error) {
	return map[string]func(*Simulator, []byte) (any, error){
		"ApplyCertificate":                   handler((*Simulator).applyFree),
		"CancelCertificateOrder":             handler((*Simulator).cancel),
		"CertificateInfoSubmit":              handler((*Simulator).submitInformation),
		"CertificateOrderSubmit":             handler((*Simulator).submitOrder),
		"CheckCertificateDomainVerification": handler((*Simulator).checkValidation),
		"CompleteCertificate":                handler((*Simulator).complete),
		"CreateCertificate":                  handler((*Simulator).buyFromBalance),
		"CreateCertificateByPackage":         handler((*Simulator).buyFromPoints),
		"DeleteCertificate":                  handler((*Simulator).remove),
		"DescribeCertificateDetail":          handler((*Simulator).describeDetail),
		"DescribeCertificates":               handler((*Simulator).describeList),
		"DescribeCompanies":                  handler((*Simulator).describeCompanies),
		"DescribeManagerDetail":              handler((*Simulator).describeManager),
		"DescribeManagers":                   handler((*Simulator).describeManagers),
		"DescribePackages":                   handler((*Simulator).describePackages),
		"DownloadCertificate":                handler((*Simulator).download),
		"ModifyCertificateResubmit":          handler((*Simulator).resubmit),
		"RevokeCertificate":                  handler((*Simulator).revoke),
		"UpdateCertificateInstance":          handler((*Simulator).replaceInResources),
		"UploadConfirmLetter":                handler((*Simulator).uploadLetter),
	}
}
