package cloudwatch

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/novaura/acs-operator/internal/sandbox/awswire"
)

// A codec is one of the protocols.
type codec interface {
	operation(r *http.Request, body []byte) string
	decode(body []byte, in any) error
	answer(w http.ResponseWriter, r *http.Request, operation string, out any)
	refuse(w http.ResponseWriter, r *http.Request, err error)
}

func codecOf(r *http.Request) codec {
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		return cborCodec{}
	case r.Header.Get("X-Amz-Target") != "":
		return jsonCodec{}
	default:
		return &queryCodec{Query: "http://monitoring.amazonaws.com/doc/2010-08-01/"}
	}
}

// Refuse answers a request with err, in the protocol that it came in.
func Refuse(w http.ResponseWriter, r *http.Request, err error) { codecOf(r).refuse(w, r, err) }

// cborCodec is https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html.
type cborCodec struct{}

func (cborCodec) operation(r *http.Request, _ []byte) string { return path.Base(r.URL.Path) }

func (cborCodec) decode(body []byte, in any) error {
	if len(body) == 0 {
		return nil
	}
	return cbor.Unmarshal(body, in)
}

func (cborCodec) answer(w http.ResponseWriter, _ *http.Request, _ string, out any) {
	writeCBOR(w, http.StatusOK, out)
}

func (cborCodec) refuse(w http.ResponseWriter, _ *http.Request, err error) {
	refusal := awswire.AsError(err)
	if refusal.Query != "" {
		w.Header().Set("X-Amzn-Query-Error", refusal.Query+";"+refusal.Fault())
	}
	writeCBOR(w, refusal.HTTPStatus(), map[string]string{
		"__type":  "com.amazonaws.cloudwatch#" + refusal.Code,
		"message": refusal.Message, "Message": refusal.Message, // the model has both spellings
	})
}

func writeCBOR(w http.ResponseWriter, status int, out any) {
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	encoded, err := cbor.Marshal(out)
	if err != nil {
		status, encoded = http.StatusInternalServerError, nil
	}
	w.WriteHeader(status)
	_, _ = w.Write(encoded)
}

// jsonCodec is awsJson1_0.
type jsonCodec struct{}

func (jsonCodec) operation(r *http.Request, _ []byte) string {
	target := r.Header.Get("X-Amz-Target")
	return target[strings.LastIndexByte(target, '.')+1:]
}

func (jsonCodec) decode(body []byte, in any) error {
	if len(body) == 0 {
		return nil
	}
	return json.Unmarshal(body, in)
}

func (jsonCodec) answer(w http.ResponseWriter, r *http.Request, _ string, out any) {
	encoded, err := json.Marshal(out)
	if err != nil {
		awswire.WriteJSONError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = w.Write(encoded)
}

func (jsonCodec) refuse(w http.ResponseWriter, r *http.Request, err error) {
	awswire.WriteJSONError(w, r, err)
}

// queryCodec is the Query protocol. The form is read by operation, since it
// names it.
type queryCodec struct {
	awswire.Query
	form url.Values
	err  error
}

func (c *queryCodec) operation(r *http.Request, body []byte) string {
	c.form, c.err = awswire.Form(r, body)
	return c.form.Get("Action")
}

func (c *queryCodec) decode(_ []byte, in any) error {
	if c.err != nil {
		return c.err
	}
	return awswire.DecodeForm(c.form, in)
}

func (c *queryCodec) answer(w http.ResponseWriter, _ *http.Request, operation string, out any) {
	c.Answer(w, operation, out)
}

func (c *queryCodec) refuse(w http.ResponseWriter, _ *http.Request, err error) { c.Refuse(w, err) }
