package checked

import "strings"

// Method of a request, or of the request that a response answers.
type Method uint8

// The methods that the box knows by name.
const (
	UnknownMethod Method = iota
	INVITE
	ACK
	BYE
	CANCEL
	OPTIONS
	REGISTER
	PRACK
	UPDATE
	INFO
	REFER
	NOTIFY
	SUBSCRIBE
	MESSAGE
	PUBLISH
	methods // how many
)

// methodNames in the order of the constants.
var methodNames = [methods]string{
	"", "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY",
	"SUBSCRIBE", "MESSAGE", "PUBLISH",
}

// String returns the method's name.
func (m Method) String() string { return methodNames[m] }

// method finds a name. Methods are case-sensitive (RFC 3261 §7.1).
func method(name string) Method {
	for m := INVITE; m < methods; m++ {
		if methodNames[m] == name {
			return m
		}
	}
	return UnknownMethod
}

// Methods is a set of methods.
type Methods uint16

// MethodSet makes a set.
func MethodSet(ms ...Method) (set Methods) {
	for _, m := range ms {
		set |= 1 << m
	}
	return set
}

// Has reports whether m is in the set.
func (s Methods) Has(m Method) bool { return s&(1<<m) != 0 }

// String lists the set as in an Allow header.
func (s Methods) String() string {
	var names []string
	for m := INVITE; m < methods; m++ {
		if s.Has(m) {
			names = append(names, methodNames[m])
		}
	}
	return strings.Join(names, ", ")
}

// Options is a set of option tags (RFC 3261 §19.2).
type Options uint16

// The option tags that the box knows by name.
const (
	Rel100   Options = 1 << iota // RFC 3262
	Timer                        // RFC 4028
	Replaces                     // RFC 3891
	GRUU                         // RFC 5627
	Outbound                     // RFC 5626
	PathTag                      // RFC 3327
)

// optionNames in the order of the bits.
var optionNames = [...]string{"100rel", "timer", "replaces", "gruu", "outbound", "path"}

func option(name string) Options {
	for i, n := range optionNames {
		if strings.EqualFold(n, name) {
			return 1 << i
		}
	}
	return 0
}

// String lists the set as in a Supported header.
func (o Options) String() string {
	var names []string
	for i, n := range optionNames {
		if o&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", ")
}

// Handled are the methods that the box serves; they stand in Allow.
const Handled = Methods(1<<INVITE | 1<<ACK | 1<<BYE | 1<<CANCEL | 1<<OPTIONS | 1<<REGISTER | 1<<PRACK | 1<<UPDATE | 1<<INFO | 1<<REFER | 1<<NOTIFY | 1<<MESSAGE)

// Understood are the option tags that a request may require of the box.
const Understood = Rel100 | Timer | Replaces | GRUU | Outbound | PathTag
