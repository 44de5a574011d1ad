package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// argon2id with 19 MiB and two passes (RFC 9106; measured at 25 ms). At most two run at a time
// and a few wait: without a bound sign-in itself would be an attack on memory.
const (
	hashMemory  = 19 * 1024 // KiB
	hashTime    = 2
	hashLanes   = 1
	hashKey     = 32
	hashSalt    = 16
	hashAtOnce  = 2
	hashWaiting = 20
)

const (
	minPassword = 12
	maxPassword = 256 // bytes; more is no safer and only costs
	maxName     = 64
	hidden      = "(hidden)" // stands for a secret in an answer
)

func hashPassword(password string) string {
	salt := make([]byte, hashSalt)
	rand.Read(salt)
	return hashText(salt, argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, hashKey))
}

func hashText(salt, key []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashLanes,
		b64().EncodeToString(salt), b64().EncodeToString(key))
}

// fakeHash returns a hash that no password has.
func fakeHash() string {
	noise := make([]byte, hashSalt+hashKey)
	rand.Read(noise)
	return hashText(noise[:hashSalt], noise[hashSalt:])
}

func b64() *base64.Encoding { return base64.RawStdEncoding }

func verifyPassword(hash, password string) (bool, error) {
	var version, memory, passes uint32
	var lanes uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false, errors.New("a password hash is not of argon2id")
	}
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil {
		return false, fmt.Errorf("parameters of a password hash: %w", err)
	}
	salt, err := b64().DecodeString(parts[4])
	if err != nil {
		return false, err
	}
	want, err := b64().DecodeString(parts[5])
	if err != nil {
		return false, err
	}
	if version != argon2.Version || passes == 0 || lanes == 0 || len(want) < hashKey {
		return false, errors.New("a password hash has parameters that cannot be")
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}

// hashGate lets few hashes run at a time.
type hashGate struct {
	running chan struct{}

	mu      sync.Mutex // guards present
	present int        // running and waiting
}

func newHashGate() *hashGate { return &hashGate{running: make(chan struct{}, hashAtOnce)} }

func (g *hashGate) hash(ctx context.Context, password string) (hash string, err error) {
	err = g.do(ctx, func() { hash = hashPassword(password) })
	return hash, err
}

func (g *hashGate) verify(ctx context.Context, hash, password string) (ok bool, err error) {
	if len(password) > maxPassword {
		return false, nil // none of ours
	}
	var failed error
	if err := g.do(ctx, func() { ok, failed = verifyPassword(hash, password) }); err != nil {
		return false, err
	}
	return ok, failed
}

func (g *hashGate) do(ctx context.Context, work func()) error {
	if !g.enter() {
		return problem.New(problem.Unavailable, "signin.busy", "too many sign in at this moment", "try again in a second")
	}
	defer g.leave()
	select {
	case g.running <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.running }()
	work()
	return nil
}

func (g *hashGate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.present == hashAtOnce+hashWaiting {
		return false
	}
	g.present++
	return true
}

// leave gives the memory of the hashes back at once: admind is idle for most of its life.
func (g *hashGate) leave() {
	g.mu.Lock()
	g.present--
	last := g.present == 0
	g.mu.Unlock()
	if last {
		debug.FreeOSMemory()
	}
}

// CheckName returns what is wrong with the name of an account.
func CheckName(path, name string) []problem.Fault {
	ok := name != "" && len(name) <= maxName && name == strings.TrimSpace(name)
	for _, r := range name {
		ok = ok && unicode.IsPrint(r)
	}
	if ok {
		return nil
	}
	return []problem.Fault{{Path: path, Value: name, Rule: fmt.Sprintf("1 to %d printable characters, no space at the ends", maxName), Cure: "choose another name"}}
}

// CheckPassword returns what is wrong with a new password; about are words that it must not be
// made of, such as the account's name.
func CheckPassword(path, password string, about ...string) []problem.Fault {
	fault := func(rule, cure string) []problem.Fault {
		return []problem.Fault{{Path: path, Value: hidden, Rule: rule, Cure: cure}}
	}
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		return fault(fmt.Sprintf("at least %d characters", minPassword), "make it longer: four words that have nothing to do with each other are good")
	case len(password) > maxPassword:
		return fault(fmt.Sprintf("at most %d bytes", maxPassword), "make it shorter")
	}
	if why := trivial(password, about); why != "" {
		return fault("not easy to guess: "+why, "four words that have nothing to do with each other are good")
	}
	return nil
}
