package netcfg

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// maxEntries bounds the entries of all lists together: what has more is no network of one box, and
// each entry costs the kernel something.
const maxEntries = 5000

// Validate returns everything that is wrong with a document.
func Validate(d Document) []problem.Fault {
	c := &checker{doc: d, links: map[string]link{}, zones: map[string]string{}}
	c.values("", reflect.ValueOf(d))
	if c.entries > maxEntries { // the other checks would take long
		c.fault("", c.entries, fmt.Sprintf("has at most %d entries in all lists together", maxEntries), "remove some")
		return c.faults
	}
	c.names()
	c.checkLinks()
	c.checkInterfaces()
	c.checkSubnets()
	c.checkZones()
	c.checkRoutes()
	c.checkUplinks()
	c.checkTunnels()
	c.checkNAT()
	c.checkFirewall()
	c.checkQoS()
	c.checkNameService()
	c.checkDHCP()
	c.checkAdverts()
	c.checkLLDP()
	return c.faults
}

// link is a link that the document describes.
type link struct {
	path   string // where
	kind   string // "port", "bond", "bridge", "vlan", "tunnel"
	mtu    int
	master string // bond or bridge that it is a member of
}

type checker struct {
	doc     Document
	links   map[string]link   // by name
	zones   map[string]string // name to path
	faults  []problem.Fault
	entries int // of all lists
}

func (c *checker) fault(path string, value any, rule, cure string) {
	c.faults = append(c.faults, problem.Fault{Path: path, Value: fmt.Sprint(value), Rule: rule, Cure: cure})
}

// at returns the path of an entry of a list.
func at(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// unread is a value that keeps a text which it cannot read.
type unread interface {
	bad() (text, rule, cure string)
}

// values looks at every value of the document: texts that could not be read, and lists without end.
func (c *checker) values(path string, v reflect.Value) {
	if u, ok := v.Interface().(unread); ok {
		if text, rule, cure := u.bad(); text != "" {
			c.fault(path, text, rule, cure)
		}
		return
	}
	switch v.Kind() { //nolint:exhaustive // what holds no other value has no fault here
	case reflect.Pointer:
		if !v.IsNil() {
			c.values(path, v.Elem())
		}
	case reflect.Slice:
		c.entries += v.Len()
		for i := range v.Len() {
			c.values(at(path, i), v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			c.values(strings.TrimPrefix(path+"."+name, "."), v.Field(i))
		}
	}
}

var (
	// label is one part of a name in the DNS as hosts have them, RFC 1123 §2.1.
	label = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	// word is what things of the document are called: it is shown in rules, counters and file names.
	word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,30}$`)
	// linkName is what the kernel takes, narrowed to what is safe in a file name and a rule.
	linkName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,14}$`)
)

// isDomain reports whether a text is a name in the DNS.
func isDomain(name string) bool {
	return len(name) <= 253 && name != "" && !slices.ContainsFunc(strings.Split(name, "."), func(l string) bool { return !label.MatchString(l) })
}

const (
	wordRule = "is 1 to 31 letters, digits, spaces, dots, underscores and hyphens"
	wordCure = "choose a short name"
)

func (c *checker) names() {
	if n := c.doc.Hostname; n != "" && !label.MatchString(n) {
		c.fault("hostname", n, "is letters, digits and hyphens, without a dot", "choose another name; the domain stands apart")
	}
	if n := c.doc.Domain; n != "" && !isDomain(n) {
		c.fault("domain", n, "is a name in the DNS", `write it as "office.example"`)
	}
}

// unique reports names that are bad or stand twice in a list.
func unique[T any](c *checker, list string, entries []T, name func(T) string) {
	seen := map[string]int{}
	for i, e := range entries {
		n := name(e)
		if !word.MatchString(n) {
			c.fault(at(list, i)+".name", n, wordRule, wordCure)
		} else if first, twice := seen[n]; twice {
			c.fault(at(list, i)+".name", n, "is not that of "+at(list, first), "choose another name")
		} else {
			seen[n] = i
		}
	}
}

// oneOf reports a word that is not among those allowed.
func oneOf[T ~string](c *checker, path string, value T, allowed ...T) {
	if slices.Contains(allowed, value) {
		return
	}
	words := make([]string, 0, len(allowed))
	for _, a := range allowed {
		words = append(words, string(a))
	}
	c.fault(path, value, "is one of "+strings.Join(words, ", "), "choose one of them")
}

// between reports a number out of its bounds. 0 stands for the default.
func (c *checker) between(path string, value, low, high int) {
	if value != 0 && (value < low || value > high) {
		c.fault(path, value, fmt.Sprintf("is from %d to %d", low, high), "choose a number between, or leave it out for the default")
	}
}

// zone reports a zone that does not exist.
func (c *checker) zone(path, name string) {
	if _, ok := c.zones[name]; !ok {
		c.fault(path, name, "is a zone of this document", "name one of zones, or add it there")
	}
}

// hasInterface reports a link that has no entry among the interfaces.
func (c *checker) hasInterface(path, name string) (Interface, bool) {
	i, ok := c.doc.Interface(name)
	if !ok {
		c.fault(path, name, "is the link of an interface of this document", "name one of interfaces, or add it there")
	}
	return i, ok
}
