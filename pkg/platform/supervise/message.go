package supervise

import "strings"

const (
	maxMessage = 4096     // bytes of one notify message, as systemd reads (PIPE_BUF)
	maxName    = 255      // characters of a descriptor's name, as systemd allows
	noName     = "stored" // of descriptors left without a name, as systemd calls them
)

// message is what a program said in one datagram (sd_notify(3)).
type message struct {
	pid      int
	ready    bool
	stopping bool
	watchdog bool
	status   string
	store    bool
	remove   bool
	name     string // of the descriptors to store or remove
	fds      []int  // the receiver owns them
}

// parseMessage reads lines of VARIABLE=value. What is not known is for other supervisors and left aside.
func parseMessage(text string) message {
	m := message{name: noName}
	for line := range strings.SplitSeq(text, "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "READY":
			m.ready = value == "1"
		case "STOPPING":
			m.stopping = value == "1"
		case "WATCHDOG":
			m.watchdog = value == "1"
		case "STATUS":
			m.status = value
		case "FDSTORE":
			m.store = value == "1"
		case "FDSTOREREMOVE":
			m.remove = value == "1"
		case "FDNAME":
			if validName(value) {
				m.name = value
			}
		}
	}
	m.remove = m.remove && !m.store // one message does one thing to the store
	return m
}

// validName says whether name can stand in LISTEN_FDNAMES, whose separator is a colon.
func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 127 || r == ':' })
}
