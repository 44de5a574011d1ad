package account

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// Limits of a user.
const (
	maxName        = 64  // fits every phone's display and every log line
	maxNumbers     = 20  // of one user
	maxNumber      = 20  // E.164 has 15 digits; room for * and #
	maxText        = 128 // display name
	maxEmail       = 254 // RFC 5321 §4.5.3.1.3
	minPassword    = 8   // of a password that a person chose; generated ones have 26 characters
	maxPassword    = 128
	maxVolume      = 20     // dB: a tenth and ten times
	maxUsers       = 50_000 // fifty times the largest box's aim; bounds memory
	maxImportBytes = 64 << 20
)

// normalize writes a spec as it is stored, so that one user is not two by a capital or a space.
func normalize(s ctl.UserSpec) ctl.UserSpec {
	s.Name = strings.ToLower(strings.TrimSpace(s.Name))
	numbers := make([]string, 0, len(s.Numbers))
	for _, n := range s.Numbers {
		n = strings.Map(func(r rune) rune {
			if strings.ContainsRune(" -.()", r) { // RFC 3966 §3: visual separators
				return -1
			}
			return r
		}, n)
		if n != "" {
			numbers = append(numbers, n)
		}
	}
	s.Numbers = numbers
	s.DisplayName = strings.TrimSpace(s.DisplayName)
	s.Email = strings.TrimSpace(s.Email)
	s.Phone = strings.TrimSpace(s.Phone)
	return s
}

// faults checks a normalized spec by itself.
func faults(s ctl.UserSpec) (fs []problem.Fault) {
	add := func(path, value, rule, cure string) {
		fs = append(fs, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	if IsProbe(s.Name) {
		add("name", s.Name, "not beginning with "+probePrefix+", which the box has for itself", "choose another name")
	}
	if !validName(s.Name) {
		add("name", s.Name, fmt.Sprintf("1 to %d of a-z, 0-9 and . _ - + * #, starting with a letter or a digit", maxName), "choose another name, for instance first.last")
	}
	if len(s.Numbers) > maxNumbers {
		add("numbers", fmt.Sprint(len(s.Numbers), " numbers"), fmt.Sprintf("at most %d numbers", maxNumbers), "remove some")
	}
	for i, n := range s.Numbers {
		if !validNumber(n) {
			add(fmt.Sprintf("numbers[%d]", i), n, fmt.Sprintf("1 to %d digits, * or #, with + in front at most", maxNumber), "write it as it is dialled, for instance 204 or +912212345678")
		}
	}
	if utf8.RuneCountInString(s.DisplayName) > maxText || !utf8.ValidString(s.DisplayName) || strings.ContainsFunc(s.DisplayName, unicode.IsControl) {
		add("display_name", s.DisplayName, fmt.Sprintf("at most %d characters, none of them a control character", maxText), "shorten it")
	}
	if s.Email != "" && !validEmail(s.Email) {
		add("email", s.Email, "an address of the form name@host", "correct it or leave it empty")
	}
	if s.Phone != "" && !validPhone(s.Phone) {
		add("phone", s.Phone, "digits, spaces, - . ( ) and + in front, at most 32 characters", "correct it or leave it empty")
	}
	if s.Language != "" && s.Language != "en" && s.Language != "hi" {
		add("language", s.Language, "en, hi, or empty for the box's own", "choose one of them")
	}
	if s.Volume < -maxVolume || s.Volume > maxVolume {
		add("volume", fmt.Sprint(s.Volume), fmt.Sprintf("from -%d to %d dB", maxVolume, maxVolume), "give a number in between; 0 is as it was made")
	}
	return fs
}

func validName(s string) bool {
	if s == "" || len(s) > maxName || strings.IndexByte("._-+*#", s[0]) >= 0 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("._-+*#", c) >= 0) {
			return false
		}
	}
	return true
}

func validNumber(s string) bool {
	digits := strings.TrimPrefix(s, "+")
	for i := range len(digits) {
		if c := digits[i]; (c < '0' || c > '9') && c != '*' && c != '#' {
			return false
		}
	}
	return digits != "" && len(s) <= maxNumber
}

func validEmail(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= maxEmail && !strings.ContainsFunc(s, unicode.IsControl)
}

func validPhone(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && strings.IndexByte(" -.()", c) < 0 && (c != '+' || i > 0) {
			return false
		}
	}
	return len(s) <= 32
}

// secretFaults checks a secret that somebody chose on the page.
func secretFaults(s ctl.Secret) (fs []problem.Fault) {
	if fs = importedFaults(s); fs == nil && weak(s) {
		fs = append(fs, problem.Fault{
			Path: "secret.password", Value: "(hidden)", Rule: fmt.Sprintf("at least %d characters", minPassword),
			Cure: "choose a longer one, or leave it empty and the box makes one",
		})
	}
	return fs
}

// importedFaults checks a secret that comes from another system: phones know it already, so a weak
// one is taken and told of.
func importedFaults(s ctl.Secret) (fs []problem.Fault) {
	switch {
	case s.Password != "" && s.HA1 != "":
		fs = append(fs, problem.Fault{Path: "secret", Value: "(both)", Rule: "a password or an HA1, not both", Cure: "give one of them"})
	case s.HA1 != "" && !validHA1(s.HA1):
		fs = append(fs, problem.Fault{Path: "secret.ha1", Value: "(hidden)", Rule: "32 hexadecimal digits: MD5 of user:domain:password", Cure: "compute it anew, or give a password"})
	case len(s.Password) > maxPassword:
		fs = append(fs, problem.Fault{Path: "secret.password", Value: "(hidden)", Rule: fmt.Sprintf("at most %d characters", maxPassword), Cure: "choose a shorter one"})
	}
	return fs
}

func weak(s ctl.Secret) bool { return s.Password != "" && len(s.Password) < minPassword }

func validHA1(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; !('0' <= s[i] && s[i] <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(s) == 32
}

// domainFault checks the accounts' domain: what may stand in a URI's host part, as a name.
func domainFault(domain string) []problem.Fault {
	if len(domain) > 0 && len(domain) <= 253 && aor.ValidHost(domain) && domain == strings.ToLower(domain) && domain[0] != '[' {
		return nil
	}
	return []problem.Fault{{
		Path: "domain", Value: domain, Rule: "a host name of at most 253 characters, in lower case",
		Cure: "write it as in an address, for instance pbx.example.com",
	}}
}
