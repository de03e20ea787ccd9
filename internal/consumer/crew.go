package consumer

// crew runs functions on goroutines that wait for the next one: a job's calls
// go deep, and every fresh goroutine would copy its stack several times to get
// there. There are as many as ever ran at once.
type crew struct {
	next      chan func()
	dismissed chan struct{}
}

func newCrew() crew { return crew{make(chan func()), make(chan struct{})} }

// run runs f on a goroutine that is idle, or else on a new one.
func (c crew) run(f func()) {
	select {
	case c.next <- f:
	default:
		go c.serve(f)
	}
}

func (c crew) serve(f func()) {
	for {
		f()
		select {
		case f = <-c.next:
		case <-c.dismissed:
			return
		}
	}
}

// dismiss ends the idle ones, and each of the others after what it runs.
func (c crew) dismiss() { close(c.dismissed) }
