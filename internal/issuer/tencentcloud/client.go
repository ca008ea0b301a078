package tencentcloud

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/certiform/terraform-provider-certificate/internal/order"
)

// requestSeconds bounds one request.
const requestSeconds = 30

// client opens the SDK's once, at the first request: to find a credential may
// take the network. It is the SDK's common client with the requests of the
// service: the service's own client would bring the other 130 actions along.
type client struct {
	config Config

	mu   sync.Mutex
	open *common.Client
	// asked is when an action was asked for, the last times.
	asked map[string][]time.Time
}

// The API takes ten requests of an action in a second, of all that use the
// account. Where it takes no more, all but purchases are asked for again.
const (
	mostPerSecond = 8
	limitRetries  = 5
	limitPause    = 200 * time.Millisecond
)

// turn waits until an action may be asked for again.
func (c *client) turn(ctx context.Context, action string) error {
	for {
		c.mu.Lock()
		now := time.Now()
		if c.asked == nil {
			c.asked = map[string][]time.Time{}
		}
		turns := c.asked[action]
		if len(turns) == mostPerSecond && now.Sub(turns[0]) >= time.Second {
			turns = turns[1:]
		}
		if len(turns) < mostPerSecond {
			c.asked[action] = append(slices.Clone(turns), now)
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if err := pause(ctx, turns[0].Add(time.Second).Sub(now)); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *client) sdk() (*common.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil {
		return c.open, nil
	}
	scheme, host, err := parseURL(c.config.Endpoint())
	if err != nil {
		return nil, err
	}
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint, p.HttpProfile.ReqTimeout = strings.ToUpper(scheme), host, requestSeconds
	p.DisableRegionBreaker = true
	var credential common.CredentialIface = common.NewTokenCredential(c.config.SecretID, c.config.SecretKey.Reveal(), c.config.Token.Reveal())
	if c.config.SecretID == "" {
		if credential, err = common.DefaultProviderChain().GetCredential(); err != nil {
			return nil, fmt.Errorf("find a credential for Tencent Cloud: %w; set secret_id and secret_key, or TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY", err)
		}
	}
	c.open = new(common.Client)
	c.open.Init("").WithCredential(credential).WithProfile(p)
	return c.open, nil
}

// refusal is an answer of the API that says no.
type refusal struct{ action, code, message, id string }

// Error implements error.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %s (%s, request %s)", r.action, strings.TrimSuffix(r.message, "."), r.code, r.id)
}

// errUnclear says that nobody knows whether a request was carried out.
var errUnclear = errors.New("the answer was lost")

// errBusy says that the API takes no more requests now. Nothing was carried out.
var errBusy = errors.New("too many requests")

// call sends one request and fills in the answer, and once more where the API is
// busy: but a purchase is sent once. Its error is a *refusal, or
// matches order.ErrUnavailable: with errUnclear where the request may have been
// carried out.
func call[A tchttp.Response](ctx context.Context, c *client, request tchttp.Request, answer A) (A, error) {
	var none A
	action := request.GetAction()
	open, err := c.sdk()
	if err != nil {
		return none, err
	}
	wait := limitPause
	for range limitRetries {
		err = send(ctx, c, open, request, answer)
		if err == nil {
			return answer, nil
		}
		if !errors.Is(err, errBusy) || slices.Contains([]string{"CreateCertificate", "CreateCertificateByPackage", "ApplyCertificate"}, action) {
			return none, err
		}
		if pause(ctx, wait) != nil {
			return none, err
		}
		wait *= 2
	}
	return none, err
}

// send is call without another try.
func send(ctx context.Context, c *client, open *common.Client, request tchttp.Request, answer tchttp.Response) error {
	action := request.GetAction()
	if err := c.turn(ctx, action); err != nil {
		return fmt.Errorf("%s: %w: %w: %w", action, order.ErrUnavailable, errBusy, err)
	}
	request.SetContext(ctx)
	err := open.Send(request, answer)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", action, errUnclear, ctx.Err())
	}
	var said *sdkerrors.TencentCloudSDKError
	if !errors.As(err, &said) {
		return fmt.Errorf("%s: %w: %w: %w", action, order.ErrUnavailable, errUnclear, err)
	}
	switch code := said.GetCode(); {
	case strings.HasPrefix(code, "ClientError."), strings.HasPrefix(code, "InternalError"):
		return fmt.Errorf("%s: %w: %w: %s", action, order.ErrUnavailable, errUnclear, said.GetMessage())
	case strings.HasPrefix(code, "RequestLimitExceeded"), strings.HasPrefix(code, "LimitExceeded.RateLimitExceeded"), code == "ResourceUnavailable":
		return fmt.Errorf("%s: %w: %w: %s", action, order.ErrUnavailable, errBusy, said.GetMessage())
	}
	return &refusal{action, said.GetCode(), said.GetMessage() + advice(said.GetCode()), said.GetRequestId()}
}

// advice is what to do about answers that a mistake in the configuration leads
// to.
func advice(code string) string {
	switch {
	case strings.HasPrefix(code, "AuthFailure.SignatureExpire"):
		return "; set the clock of this machine"
	case strings.HasPrefix(code, "AuthFailure"):
		return "; check secret_id and secret_key of the issuer"
	case strings.HasPrefix(code, "UnauthorizedOperation"):
		return "; allow the action for the credential in the access management of the account"
	}
	return ""
}

// value reads what may be null.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// given is a pointer to what is not zero, since the API tells an empty value from
// none.
func given[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
