package message

import "strings"

// What an inbound text asks for, as OptOut says it.
const (
	Stop  = "STOP"
	Start = "START"
	Help  = "HELP"
)

// keywords are Twilio's default words
// (https://help.twilio.com/articles/223134027), with the ARRET that Canada
// asks for. The whole text must be one of them.
var keywords = map[string]string{
	"STOP": Stop, "STOPALL": Stop, "UNSUBSCRIBE": Stop, "CANCEL": Stop, "END": Stop, "QUIT": Stop,
	"REVOKE": Stop, "OPTOUT": Stop, "ARRET": Stop, "ARRÊT": Stop,
	"START": Start, "YES": Start, "UNSTOP": Start,
	"HELP": Help, "INFO": Help,
}

// keyword is STOP, START or HELP for an inbound text that says so. Twilio's
// own OptOutType, where there is one, is believed before the body: Advanced
// Opt-Out may have words of its own.
func (m *Message) keyword() string {
	if m.Type != Received || m.Channel != SMS {
		return ""
	}
	switch word := strings.ToUpper(m.OptOut); word {
	case Stop, Start, Help:
		return word
	}
	return keywords[strings.ToUpper(strings.Trim(m.Body.Reveal(), " \t\r\n.!\"'"))]
}
