package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
	"github.com/novaura/acs-operator/internal/redact"
)

const scope = "https://www.googleapis.com/auth/firebase.messaging"

// tokenTimeout bounds the fetch of an access token, which all sends of that
// moment wait for.
const tokenTimeout = 10 * time.Second

// freshEnough: a token that is refused this soon after it was fetched is not
// fetched again; the credentials are at fault, and not its age.
const freshEnough = time.Minute

// tokens gives access tokens, each for as long as it lasts (an hour).
type tokens struct {
	config *jwt.Config
	client *http.Client

	mu      sync.Mutex
	token   *oauth2.Token
	fetched time.Time
	pending chan struct{} // closed when the fetch under way has ended; nil: none is
	err     error         // of the last fetch
}

// newTokens reads a service account's key, and the project that it is of.
func newTokens(credentials redact.Secret) (t *tokens, project string, err error) {
	if credentials == "" {
		return nil, "", errors.New("fcm: the credentials are missing: set FCM_CREDENTIALS to a service account's key, as JSON or as the path of a file")
	}
	key, err := provider.KeyText(credentials, "{")
	if err != nil {
		return nil, "", errors.New("fcm: the credentials cannot be read: FCM_CREDENTIALS is neither JSON nor the path of a file that can be read")
	}
	var account struct {
		Project string `json:"project_id"`
	}
	if json.Unmarshal(key, &account) != nil || account.Project == "" {
		return nil, "", errors.New("fcm: the credentials name no project: FCM_CREDENTIALS is the JSON key of a service account, with project_id")
	}
	config, err := google.JWTConfigFromJSON(key, scope)
	if err != nil {
		return nil, "", errors.New("fcm: the credentials are not a service account's key: set FCM_CREDENTIALS to one")
	}
	return &tokens{config: config, client: once.NewClient(nil)}, account.Project, nil
}

// get returns a token that is still good, or fetches one, once; who comes meanwhile
// waits for the same fetch, no longer than ctx. Nothing has been sent when it
// fails.
func (t *tokens) get(ctx context.Context) (redact.Secret, error) {
	for {
		t.mu.Lock()
		if t.token.Valid() {
			defer t.mu.Unlock()
			return redact.Secret(t.token.AccessToken), nil
		}
		mine := t.pending == nil
		if mine {
			t.pending = make(chan struct{})
			go t.fetch(context.WithoutCancel(ctx), t.pending)
		}
		pending := t.pending
		t.mu.Unlock()
		select {
		case <-pending:
		case <-ctx.Done():
			return "", &provider.Error{Provider: Name, Class: provider.Transient, Away: true, Message: "no access token in time", Err: ctx.Err()}
		}
		t.mu.Lock()
		token, err := t.token, t.err
		t.mu.Unlock()
		switch {
		case err != nil:
			return "", err
		case token != nil: // even one that hardly lasts: another would be no better
			return redact.Secret(token.AccessToken), nil
		}
	}
}

// fetch ends by its own bound: the one who asked first may have left, and
// others wait for it still.
func (t *tokens) fetch(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	token, err := t.config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, t.client)).Token()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending, t.err = nil, nil
	switch {
	case err != nil:
		t.err = refusedToken(err)
	case token.AccessToken == "":
		t.err = &provider.Error{Provider: Name, Class: provider.Transient, Away: true, Message: "no access token: the token endpoint's answer has none"}
	default:
		t.token, t.fetched = token, time.Now()
	}
	close(done)
}

// drop forgets a token that was refused, so that the next send fetches one.
func (t *tokens) drop(refused redact.Secret) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != nil && t.token.AccessToken == refused.Reveal() && time.Since(t.fetched) > freshEnough {
		t.token = nil
	}
}

func refusedToken(err error) *provider.Error {
	answered := (*oauth2.RetrieveError)(nil)
	if errors.As(err, &answered) && answered.Response != nil {
		refused := &provider.Error{
			Provider: Name, Class: provider.Transient, Away: true, HTTPStatus: answered.Response.StatusCode, Code: answered.ErrorCode,
			Message: "no access token", RetryAfter: once.RetryAfter(answered.Response.Header, time.Now()),
		}
		if status := refused.HTTPStatus; status/100 == 3 || status/100 == 4 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
			refused.Class, refused.Away, refused.Message = provider.Config, false, "the credentials are refused: check FCM_CREDENTIALS"
			refused.Credentials = status/100 == 4
		}
		return refused
	}
	return &provider.Error{
		Provider: Name, Class: provider.Transient, Away: true, Message: "no access token",
		Err: fmt.Errorf("ask the token endpoint: %w", once.WithoutURL(err)),
	}
}
