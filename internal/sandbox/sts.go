package sandbox

import (
	"encoding/xml"
	"net/http"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

type identityResponse struct {
	XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// callerIdentity answers STS: whoever asks is the account's root.
func (a AWS) callerIdentity(w http.ResponseWriter, r *http.Request) {
	action, err := queryAction(w, r)
	if err == nil && action != "GetCallerIdentity" {
		err = &awswire.Error{Code: "InvalidAction", Message: "of STS the sandbox serves GetCallerIdentity only, not " + action}
	}
	if err != nil {
		refuse(w, r, "sts", err)
		return
	}
	writeXML(w, http.StatusOK, identityResponse{
		ARN: "arn:aws:iam::" + a.Account + ":root", UserID: a.Account, Account: a.Account,
		RequestID: w.Header().Get("X-Amzn-Requestid"),
	})
}
