package tencentsim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestSkew is how far the clock of a client may be off.
const longestSkew = 5 * time.Minute

// verify checks the signature TC3-HMAC-SHA256 of a request. Signatures are held
// against the real clock: only the orders live by the one that is moved.
func (s *Simulator) verify(r *http.Request, body []byte) error {
	method, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if method != "TC3-HMAC-SHA256" {
		return refuse("AuthFailure.InvalidAuthorization", "the header Authorization has no TC3-HMAC-SHA256")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	id, scope, _ := strings.Cut(fields["Credential"], "/")
	if id != s.options.SecretID {
		return refuse("AuthFailure.SecretIdNotFound", "the SecretId is not found, please ensure that your SecretId is correct")
	}
	seconds, err := strconv.ParseInt(r.Header.Get("X-TC-Timestamp"), 10, 64)
	if err != nil {
		return refuse("InvalidParameterValue", "the header X-TC-Timestamp is no number")
	}
	at := time.Unix(seconds, 0)
	if time.Since(at).Abs() > longestSkew {
		return refuse("AuthFailure.SignatureExpire", "the signature has expired: the clock of the client is off by %s", time.Since(at).Abs())
	}
	date := at.UTC().Format(time.DateOnly)
	if scope != date+"/ssl/tc3_request" {
		return refuse("AuthFailure.SignatureFailure", "the credential scope %q is wrong", scope)
	}
	var headers strings.Builder
	for name := range strings.SplitSeq(fields["SignedHeaders"], ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		headers.WriteString(name + ":" + strings.TrimSpace(lowered(name, value)) + "\n")
	}
	canonical := strings.Join([]string{"POST", "/", "", headers.String(), fields["SignedHeaders"], digest(body)}, "\n")
	signed := strings.Join([]string{method, strconv.FormatInt(seconds, 10), scope, digest([]byte(canonical))}, "\n")
	key := mac(mac(mac([]byte("TC3"+s.options.SecretKey), date), "ssl"), "tc3_request")
	if want := hex.EncodeToString(mac(key, signed)); !hmac.Equal([]byte(want), []byte(fields["Signature"])) {
		return refuse("AuthFailure.SignatureFailure", "the provided credentials could not be validated, please check your signature is correct")
	}
	return nil
}

// lowered is a header's value as it is signed: the action is signed in lower
// case.
func lowered(name, value string) string {
	if strings.EqualFold(name, "x-tc-action") {
		return strings.ToLower(value)
	}
	return value
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum(nil)
}
