package ses

import (
	"errors"
	"net/http"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/once"
)

// A refusalClass says what an error code of SES's means for a send.
type refusalClass struct {
	class provider.Class
	text  string // our words: SES's quote addresses
	wait  time.Duration
	// credentials says that they are refused, or may not send.
	credentials bool
}

// codes are the typed refusals; what is not here goes by its HTTP status.
//
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html and
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html
var codes = map[string]refusalClass{
	"TooManyRequestsException": {class: provider.Throttled, text: "the sending rate is exceeded", wait: time.Second},
	"Throttling":               {class: provider.Throttled, text: "the sending rate is exceeded", wait: time.Second},
	"ThrottlingException":      {class: provider.Throttled, text: "the sending rate is exceeded", wait: time.Second},
	"LimitExceededException":   {class: provider.Throttled, text: "a limit of the account is reached", wait: time.Minute},

	"MessageRejected":     {class: provider.Permanent, text: "the message is rejected"},
	"BadRequestException": {class: provider.Permanent, text: "the message is not valid"},
	"ValidationException": {class: provider.Permanent, text: "the message is not valid"},

	"SendingPausedException":             {class: provider.Config, text: "sending is paused for the account or configuration set"},
	"AccountSuspendedException":          {class: provider.Config, text: "the account's sending is suspended"},
	"MailFromDomainNotVerifiedException": {class: provider.Config, text: "the MAIL FROM domain is not verified"},
	"NotFoundException":                  {class: provider.Config, text: "the configuration set does not exist: check SES_CONFIGURATION_SET"},
	"AccessDeniedException":              {class: provider.Config, credentials: true, text: "the role may not send: it needs ses:SendEmail on the identity and the configuration set"},
	"AccessDenied":                       {class: provider.Config, credentials: true, text: "the role may not send: it needs ses:SendEmail on the identity and the configuration set"},
	"UnrecognizedClientException":        {class: provider.Config, credentials: true, text: "the credentials are refused"},
	"InvalidClientTokenId":               {class: provider.Config, credentials: true, text: "the credentials are refused"},
	"InvalidSignatureException":          {class: provider.Config, credentials: true, text: "the credentials are refused"},
	"SignatureDoesNotMatch":              {class: provider.Config, credentials: true, text: "the credentials are refused"},
	"IncompleteSignature":                {class: provider.Config, credentials: true, text: "the credentials are refused"},
	"MissingAuthenticationTokenException": {
		class: provider.Config, credentials: true, text: "the credentials are missing",
	},
	"ExpiredTokenException": {class: provider.Config, credentials: true, text: "the credentials have expired"},
	"OptInRequired":         {class: provider.Config, text: "the account has no access to SES in this region"},
	"RequestExpired":        {class: provider.Config, text: "the clock of this machine is wrong"},
}

// quotaWait is how long a day's quota is left alone: it is of rolling 24
// hours, so a part of it comes back all the time.
const quotaWait = 10 * time.Minute

// classify types what the SDK says. own: the sender is of our set-up.
func classify(err error, own bool) *provider.Error {
	if lost := (*once.LostError)(nil); errors.As(err, &lost) {
		return once.Unanswered(Name, lost)
	}
	answered := (*awshttp.ResponseError)(nil)
	if !errors.As(err, &answered) {
		return unsent(err)
	}
	refused := &provider.Error{Provider: Name, HTTPStatus: answered.HTTPStatusCode()}
	typed := smithy.APIError(nil)
	if errors.As(err, &typed) {
		refused.Code = typed.ErrorCode()
	}
	row, known := codes[refused.Code]
	if refused.HTTPStatus >= 500 || refused.HTTPStatus/100 != 4 || !known {
		refused.Class, refused.Credentials = statusClass(refused.HTTPStatus), refused.HTTPStatus == http.StatusUnauthorized
		return refused
	}
	refused.Class, refused.Credentials, refused.Message, refused.RetryAfter = row.class, row.credentials, row.text, row.wait
	words := strings.ToLower(typed.ErrorMessage())
	switch {
	case refused.Class == provider.Throttled && strings.Contains(words, "daily"):
		refused.Message, refused.RetryAfter = "the quota of 24 hours is used up", quotaWait
	case strings.HasPrefix(refused.Code, "AccessDenied") && !own:
		// A role that is allowed our identities alone says so of any other: one
		// message's sender must not stop all mails, nor the role's loss cost theirs.
		refused.Class, refused.Away, refused.Alone = provider.Transient, true, true
		refused.Message = "the role may not send from the message's own sender: check its from, or allow ses:SendEmail on that identity"
	case refused.Code == "MessageRejected" && strings.Contains(words, "not verified"):
		refused.Message = "the sender, or in SES's sandbox the recipient, is not verified in this region"
		if own {
			refused.Class = provider.Config
		}
	}
	return refused
}

// statusClass is what an HTTP status alone proves.
func statusClass(status int) provider.Class {
	switch {
	case status == 429:
		return provider.Throttled
	case status == 401 || status == 403 || status == 404:
		return provider.Config
	case status/100 == 3:
		return provider.Config // AWS_ENDPOINT_URL is not SES
	case status/100 == 4 && status != 408:
		return provider.Permanent
	default:
		return provider.InDoubt
	}
}

// unsent is an error from before the request: the SDK could not make or sign
// it. Its words may quote parameters.
func unsent(err error) *provider.Error {
	refused := &provider.Error{Provider: Name, Class: provider.Transient, Away: true, Message: "the request could not be signed: no credentials were to be had"}
	if invalid := (*smithy.InvalidParamsError)(nil); errors.As(err, &invalid) {
		refused.Class, refused.Away, refused.Message = provider.Permanent, false, "the message is not valid"
	}
	if canceled := (*smithy.CanceledError)(nil); errors.As(err, &canceled) {
		refused.Class, refused.Away, refused.Message = provider.InDoubt, false, "the call was cut off"
	}
	return refused
}
