package ses

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/provider"
)

var _ provider.Checker = (*Client)(nil)

// Check implements provider.Checker: it reads our own account, where our role
// may (ses:GetAccount); a worker needs no such permission.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	account, err := c.api.GetAccount(ctx, &sesv2.GetAccountInput{})
	if refused := smithy.APIError(nil); errors.As(err, &refused) && refused.ErrorCode() == "AccessDeniedException" {
		return fmt.Errorf("%w: ses:GetAccount is not allowed", provider.ErrNoCheck)
	}
	if err != nil {
		return classify(err, true)
	}
	if !account.SendingEnabled {
		return &provider.Error{Provider: Name, Class: provider.Config, Message: "sending is paused for the account: see the console of SES"}
	}
	return nil
}
