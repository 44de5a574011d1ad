package sdp

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxCrypto bounds the a=crypto lines of an m-line: a client offers one for each suite.
const maxCrypto = 16

// maxLifetime is the most packets that one SRTP master key may protect (RFC 3711 §9.2).
const maxLifetime = 1 << 48

// maxMKI is the longest master key identifier (RFC 4568 §6.1).
const maxMKI = 128

// Crypto is an a=crypto line that can be taken (RFC 4568 §4, §6).
type Crypto struct {
	Tag   uint32
	Suite string
	Key   []byte // master key and master salt
	MKI   []byte // none if empty
}

// Errors of a=crypto lines. None of their texts holds a key.
var (
	ErrCrypto  = errors.New("not a crypto attribute")
	ErrSuite   = errors.New("the crypto suite is not supported")
	ErrKey     = errors.New("the key has another length than its suite wants")
	ErrKeys    = errors.New("more than one key in a crypto attribute")
	ErrSession = errors.New("a session parameter of the crypto attribute is not supported")
)

// keySize returns the length of master key and salt of a crypto suite that can be taken, 0 for another
// (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14).
func keySize(suite string) int {
	switch suite {
	case "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32":
		return 16 + 14
	case "AES_256_CM_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32":
		return 32 + 14
	case "AEAD_AES_128_GCM":
		return 16 + 12
	case "AEAD_AES_256_GCM":
		return 32 + 12
	}
	return 0
}

// Cryptos returns the crypto lines that can be taken, in their order. When there are lines and none
// can be taken, the error says what is wrong with the last.
func (m *Media) Cryptos() (list []Crypto, err error) {
	for text := m.body; text != "" && len(list) < maxCrypto; {
		var line string
		line, text = nextLine(text)
		v, ok := strings.CutPrefix(line, "a=crypto:")
		if !ok {
			continue
		}
		c, fault := ParseCrypto(v)
		if fault != nil {
			err = fault
			continue
		}
		list = append(list, c)
	}
	if len(list) > 0 {
		err = nil // RFC 4568 §5.1.2: what is not understood is passed over
	}
	return list, err
}

// ParseCrypto reads the value of an a=crypto line: tag suite key-params [session-params].
func ParseCrypto(v string) (c Crypto, err error) {
	fields := strings.Fields(v)
	if len(fields) < 3 || len(fields[0]) > 9 { // RFC 4568 §9.1: one to nine digits
		return c, ErrCrypto
	}
	tag, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return c, ErrCrypto
	}
	length := keySize(fields[1])
	if length == 0 {
		return c, ErrSuite
	}
	c.Tag, c.Suite = uint32(tag), fields[1]
	if strings.Contains(fields[2], ";") { // RFC 4568 §6.1: told apart by MKIs, for a change that nobody makes
		return c, ErrKeys
	}
	if err := c.readKey(fields[2], length); err != nil {
		return Crypto{}, err
	}
	for _, p := range fields[3:] {
		if !takesParameter(p) {
			return Crypto{}, ErrSession
		}
	}
	return c, nil
}

// readKey reads inline:key["|"lifetime]["|"MKI:length] (RFC 4568 §6.1).
func (c *Crypto) readKey(v string, length int) error {
	method, rest, _ := strings.Cut(v, ":")
	if !strings.EqualFold(method, "inline") {
		return ErrCrypto
	}
	text, rest, more := strings.Cut(rest, "|")
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil { // some leave the padding out
		key, err = base64.RawStdEncoding.DecodeString(text)
	}
	if err != nil {
		return ErrCrypto
	}
	if len(key) != length {
		return ErrKey
	}
	c.Key = key
	for n := 0; more; n++ {
		var part string
		part, rest, more = strings.Cut(rest, "|")
		switch isMKI := strings.Contains(part, ":"); {
		case isMKI && !more:
			err = c.readMKI(part)
		case !isMKI && n == 0:
			err = checkLifetime(part)
		default:
			err = ErrCrypto
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readMKI reads value:length: the value as a number of so many bytes.
func (c *Crypto) readMKI(v string) error {
	value, length, _ := strings.Cut(v, ":")
	n, err := strconv.ParseUint(value, 10, 64)
	size, lengthErr := strconv.ParseUint(length, 10, 8)
	if err != nil || lengthErr != nil || size == 0 || size > maxMKI {
		return ErrCrypto
	}
	if size < 8 && n>>(8*size) != 0 {
		return ErrCrypto
	}
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], n)
	c.MKI = make([]byte, size)
	copy(c.MKI[max(0, int(size)-8):], number[max(0, 8-int(size)):])
	return nil
}

// checkLifetime reads a number of packets, or a power of two of them. No call lasts for as many as
// a key is good for, and who wants to change it earlier sends an offer.
func checkLifetime(v string) error {
	power, isPower := strings.CutPrefix(v, "2^")
	n, err := strconv.ParseUint(power, 10, 64)
	if isPower && err == nil && n <= 48 {
		return nil
	}
	if isPower || err != nil || n == 0 || n > maxLifetime {
		return ErrCrypto
	}
	return nil
}

// takesParameter reports whether a session parameter changes nothing (RFC 4568 §6.3): a hint of the
// replay window, or one that says of itself that it may be ignored. To send in clear, to leave the
// authentication out, to derive keys again or to put FEC above SRTP is refused.
func takesParameter(p string) bool {
	if strings.HasPrefix(p, "-") {
		return true
	}
	if p == "KDR=0" || p == "FEC_ORDER=FEC_SRTP" { // the keys are derived once; what is under the SRTP passes as it is
		return true
	}
	window, ok := strings.CutPrefix(p, "WSH=")
	n, err := strconv.ParseUint(window, 10, 32)
	return ok && err == nil && n >= 64 // RFC 4568 §6.3.6
}

func (c *Crypto) append(dst []byte) []byte {
	dst = append(strconv.AppendUint(append(dst, "a=crypto:"...), uint64(c.Tag), 10), ' ')
	dst = append(append(dst, c.Suite...), " inline:"...)
	dst = base64.StdEncoding.AppendEncode(dst, c.Key)
	if len(c.MKI) > 0 && len(c.MKI) <= 8 {
		var n uint64
		for _, b := range c.MKI {
			n = n<<8 | uint64(b)
		}
		dst = fmt.Appendf(dst, "|%d:%d", n, len(c.MKI))
	}
	return append(dst, '\r', '\n')
}
