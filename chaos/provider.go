package main

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"

	"github.com/novaura/acs-operator/internal/sandbox/twilio"
)

const (
	twilioAccount = "AC00000000000000000000000000000001"
	twilioToken   = "chaos"
)

// unreliable is Twilio as its worst: it accepts and says nothing, refuses and
// says it accepted nothing, hangs before or after it accepts, and cuts lines.
// It remembers what it accepted, for ever.
type unreliable struct {
	twilio *twilio.Server

	mu       sync.Mutex
	random   *rand.Rand
	calm     bool // no more faults: what is left shall end
	accepted map[text]int
	faults   map[string]int
}

// text is what a recipient sees.
type text struct{ to, body string }

func newUnreliable(seed uint64, messages int) *unreliable {
	return &unreliable{
		twilio:   twilio.New(twilio.Options{AccountSID: twilioAccount, AuthToken: twilioToken, Keep: 4 * messages}), // to forget one would be to deny it
		random:   rand.New(rand.NewPCG(seed, 1)),                                                                    //nolint:gosec // faults need no secrecy
		accepted: map[text]int{}, faults: map[string]int{},
	}
}

// fault draws what happens to one send.
func (u *unreliable) fault() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.calm {
		return ""
	}
	draw, name := u.random.Float64(), ""
	for _, f := range []struct {
		name  string
		share float64
	}{
		{"accepted, then cut", 0.02}, {"accepted, then 500", 0.02}, {"accepted, then silent", 0.01}, {"accepted late", 0.01},
		{"cut before", 0.02}, {"500", 0.02}, {"429", 0.03}, {"slow", 0.05},
	} {
		if draw -= f.share; draw < 0 {
			name = f.name
			u.faults[name]++
			break
		}
	}
	return name
}

func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		u.twilio.ServeHTTP(w, r)
		return
	}
	switch u.fault() {
	case "accepted, then cut":
		u.create(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case "accepted, then 500":
		u.create(httptest.NewRecorder(), r)
		http.Error(w, "<html>oops</html>", http.StatusInternalServerError)
	case "accepted, then silent":
		u.create(httptest.NewRecorder(), r)
		time.Sleep(providerTimeout + time.Second)
		panic(http.ErrAbortHandler)
	case "accepted late": // after its client has given up
		form := parse(r)
		time.Sleep(providerTimeout + (providerSettles-providerTimeout)/2)
		u.createForm(httptest.NewRecorder(), r, form)
	case "cut before":
		panic(http.ErrAbortHandler)
	case "500":
		http.Error(w, "<html>oops</html>", http.StatusInternalServerError)
	case "429":
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"code":20429,"message":"Too Many Requests","status":429}`))
	case "slow":
		time.Sleep(providerTimeout / 4)
		u.create(w, r)
	default:
		u.create(w, r)
	}
}

func parse(r *http.Request) url.Values {
	_ = r.ParseForm()
	return r.PostForm
}

func (u *unreliable) create(w http.ResponseWriter, r *http.Request) { u.createForm(w, r, parse(r)) }

// createForm has Twilio create a message, and remembers one that it accepts.
func (u *unreliable) createForm(w http.ResponseWriter, r *http.Request, form url.Values) {
	answer := httptest.NewRecorder()
	u.twilio.ServeHTTP(answer, r)
	if answer.Code == http.StatusCreated {
		u.mu.Lock()
		u.accepted[text{form.Get("To"), form.Get("Body")}]++
		u.mu.Unlock()
	}
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// total is how many texts were accepted.
func (u *unreliable) total() (total int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, n := range u.accepted {
		total += n
	}
	return total
}

func (u *unreliable) quiet() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calm = true
}
