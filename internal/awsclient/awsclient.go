// Package awsclient reads the AWS settings as the SDK does, and gives the SDK an
// HTTP client that loses no answers. The shipped programs make every client of
// AWS from its Load.
package awsclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// ErrNoRegion says that nothing names a region.
var ErrNoRegion = errors.New("AWS_REGION is not set: name the region of the queues and the service")

// idleConns is how many connections to one service are kept for the next
// calls: as many as a worker's pollers and settlements use at once.
const idleConns = 64

// Load reads the environment, the shared files and the task's credentials.
func Load(ctx context.Context) (aws.Config, error) {
	config, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return config, fmt.Errorf("read the AWS settings: %w", err)
	}
	if config.Region == "" {
		return config, ErrNoRegion
	}
	config.Logger = logging.Nop{} // its lines are no JSON, and its errors are ours to tell
	client, ok := config.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		client = awshttp.NewBuildableClient()
	}
	config.HTTPClient = wholeBody{client.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 2*idleConns, idleConns
	})}
	return config, nil
}

// wholeBody hands the transport a request body that nobody closes under it.
//
// The SDK closes the body as soon as the answer's head is there
// (smithy-go's ClientHandler). The transport's writer may not have seen the
// body's end by then, although the server has all of it: it then takes the
// closed body for a short one, gives up the connection, and the rest of the
// answer is gone. A ReceiveMessage that loses its answer so leaves ten messages
// invisible for a whole visibility timeout, and a busy machine with a near
// server meets it every few hundred calls.
type wholeBody struct{ next aws.HTTPClient }

// largest is the largest body that is copied: SQS's limit and some more.
const largest = 2 << 20

// Do implements aws.HTTPClient.
func (c wholeBody) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.ContentLength <= 0 || request.ContentLength > largest {
		return c.next.Do(request)
	}
	body := make([]byte, request.ContentLength)
	if _, err := io.ReadFull(request.Body, body); err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	own := *request
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	own.Body, _ = own.GetBody()
	return c.next.Do(&own)
}
