package twilio

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	// A sender is also a short code, or an alphanumeric id with a letter in it.
	shortCode = regexp.MustCompile(`^[0-9]{3,8}$`)
	senderID  = regexp.MustCompile(`^[0-9 ]*[A-Za-z][A-Za-z0-9 ]*$`)

	punctuation = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "")
)

// The numbers that Twilio's own test credentials refuse
// (https://www.twilio.com/docs/iam/test-credentials).
var (
	magicTo = map[string]int{
		"+15005550001": codeInvalidTo, "+15005550002": codeToUnreachable, "+15005550003": codeNoPermission,
		"+15005550004": codeUnsubscribed, "+15005550009": codeToNotMobile,
	}
	magicFrom = map[string]int{"+15005550001": codeInvalidFrom, "+15005550007": codeFromNotCapable}
)

// create takes a message: the rate limit and the faults come first, then what
// is wrong with the message, then it is accepted, and only then may the answer
// get lost.
func (s *Server) create(r *http.Request) (any, *refusal) {
	if !s.control.Allow() {
		return nil, refuse(codeTooManyRequests)
	}
	if refused := refuseBy(s.control.Fault()); refused != nil {
		return nil, refused
	}
	r.Body = http.MaxBytesReader(nil, r.Body, mostFormBytes)
	if err := r.ParseForm(); err != nil {
		return nil, refuse(codeInvalidParameter)
	}
	m, refused := s.compose(r.PathValue("account"), r.PostForm)
	if refused != nil {
		return nil, refused
	}
	now := s.memory.accept(m)
	s.schedule(m)
	s.control.LoseAnswer()
	return m.resource(now), nil
}

// compose checks a form in Twilio's order: To, From, Body.
func (s *Server) compose(account string, form url.Values) (*message, *refusal) {
	to, refused := s.recipient(form.Get("To"))
	if refused != nil {
		return nil, refused
	}
	from, service := form.Get("From"), form.Get("MessagingServiceSid")
	if refused := checkSender(from, service); refused != nil {
		return nil, refused
	}
	body := form.Get("Body")
	switch {
	case body == "" && !form.Has("MediaUrl") && !form.Has("ContentSid"):
		return nil, refuse(codeNoBody)
	case utf8.RuneCountInString(body) > longestBody:
		return nil, refuse(codeBodyTooLong)
	}
	m := newMessage(account, to, from, service, body)
	m.setCallback(form.Get("StatusCallback"), s.options.StatusCallback)
	return m, nil
}

func (s *Server) recipient(to string) (string, *refusal) {
	if strings.TrimSpace(to) == "" {
		return "", refuse(codeNoTo)
	}
	number := plainNumber(to)
	if !e164.MatchString(number) {
		return "", refuseNumber(codeInvalidTo, to)
	}
	if code, ok := magicTo[number]; ok {
		return "", refuse(code)
	}
	if _, ok := s.optedOut.Load(number); ok {
		return "", refuse(codeUnsubscribed)
	}
	return number, nil
}

func checkSender(from, service string) *refusal {
	if from == "" && service == "" {
		return refuse(codeNoFrom)
	}
	if code, ok := magicFrom[from]; ok {
		return refuse(code)
	}
	const longestSenderID = 11
	named := len(from) <= longestSenderID && senderID.MatchString(from)
	if from != "" && !named && !shortCode.MatchString(from) && !e164.MatchString(from) {
		return refuseNumber(codeInvalidFrom, from)
	}
	return nil
}

// plainNumber is a phone number without what people put between its digits.
func plainNumber(number string) string { return punctuation.Replace(number) }
