package twilio

import (
	"context"

	"github.com/novaura/acs-operator/internal/provider"
)

var _ provider.Checker = (*Client)(nil)

// Check implements provider.Checker: it reads our own account.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	call := &call{ctx: ctx, client: c, ownSender: true}
	account, err := call.api().FetchAccount(c.accountSID)
	if err != nil {
		return call.typed(err)
	}
	if status := value(account.Status); status != "active" {
		return &provider.Error{Provider: Name, Class: provider.Config, HTTPStatus: call.status, Message: "the account is " + status + ": see Twilio's console"}
	}
	return nil
}
