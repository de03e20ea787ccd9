package apns

import (
	"context"
	"net/http"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

var _ provider.Checker = (*Client)(nil)

// Check implements provider.Checker: it connects. Apple judges a key only with
// a push, so any answer will do.
func (c *Client) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/", http.NoBody)
	if err != nil {
		return &provider.Error{Provider: Name, Class: provider.Config, Err: once.WithoutURL(err)}
	}
	_, err = once.Do(c.httpClient, request, Name, maxAnswer)
	return err
}
