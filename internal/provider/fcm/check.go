package fcm

import (
	"context"

	"github.com/novaura/acs-operator/internal/provider"
)

var _ provider.Checker = (*Client)(nil)

// Check implements provider.Checker: it fetches an access token.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.tokens.get(ctx)
	return err
}
