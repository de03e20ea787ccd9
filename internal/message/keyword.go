package message

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// What an inbound text asks for, as OptOut says it.
const (
	Stop  = "STOP"
	Start = "START"
	Help  = "HELP"
)

// keywords are Twilio's default words
// (https://help.twilio.com/articles/223134027), with the ARRET that Canada
// asks for. The whole text must be one of them. That of a STOP is heard whatever
// stands around or between its letters ("STOP 🛑", "opt out", “Stop”): who asks in
// any way to be left alone is. A START must be beyond doubt.
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
	body := strings.ToUpper(norm.NFKC.String(m.Body.Reveal()))
	letters := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.L, unicode.N, unicode.M) && r != emojiSelector {
			return r
		}
		return -1
	}, body)
	if keywords[letters] == Stop {
		return Stop
	}
	return keywords[strings.Trim(strings.TrimSpace(body), " \t\r\n.!\"'")]
}

// emojiSelector follows a character that is to be shown in colour, and is a mark.
const emojiSelector = '\uFE0F'
