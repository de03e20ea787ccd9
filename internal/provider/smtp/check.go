package smtp

import (
	"context"

	"github.com/novaura/acs-operator/internal/provider"
)

var _ provider.Checker = (*Client)(nil)

// Check implements provider.Checker: it connects and signs in.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return refusedConnection(err)
	}
	c.keep(conn)
	return nil
}
