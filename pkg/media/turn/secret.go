package turn

import (
	"crypto/hmac"
	"crypto/md5"  // RFC 8489 §9.2.2: the key of long-term credentials
	"crypto/sha1" // what issuers and clients of these credentials have in common
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Issue returns credentials for a user, good until the time given: whoever holds the secret can make
// them, and the server needs no account to judge them.
func Issue(secret []byte, user string, until time.Time) (name, password string) {
	name = strconv.FormatInt(until.Unix(), 10) + ":" + user
	return name, passwordOf(secret, name)
}

func passwordOf(secret []byte, name string) string {
	mac := hmac.New(sha1.New, secret)
	mac.Write([]byte(name))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// judge returns the user of a name and the key that his requests are signed with, if the name is good at
// now. Whether it was issued by us, the signature tells.
func judge(secret []byte, realm, name string, now time.Time) (user string, key []byte, ok bool) {
	end, user, found := strings.Cut(name, ":")
	until, err := strconv.ParseInt(end, 10, 64)
	if !found || err != nil || user == "" || now.Unix() >= until {
		return "", nil, false
	}
	sum := md5.Sum([]byte(name + ":" + realm + ":" + passwordOf(secret, name)))
	return user, sum[:], true
}
