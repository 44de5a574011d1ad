// Package auth knows who may use the page and the API: the owner's first set-up, sign-in by
// password, API tokens for scripts, and the throttling of guesses that locks nobody out.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/copies"
)

// Roles.
const (
	RoleOwner  = "owner"  // may do everything
	RoleSender = "sender" // of API tokens only: may send messages in the name of some users, and nothing else
)

// ReadsContent reports whether who asks may read what users write to each other. Other roles see
// that they do.
func (i Identity) ReadsContent() bool { return i.Role == RoleOwner }

const (
	documentName    = "auth.json"
	documentVersion = 1
)

// document is what is kept on disk. No password and no token can be read from it.
type document struct {
	Version  int           `json:"version"`
	Accounts []account     `json:"accounts"`
	Tokens   []storedToken `json:"tokens"`
	Known    []netip.Addr  `json:"known"` // addresses that signed in, the latest last
}

type account struct {
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Hash    string    `json:"hash"` // argon2id, as hashPassword writes it
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
}

// Config says where accounts are kept.
type Config struct {
	Dir string
	Log *slog.Logger
}

// Auth holds accounts, tokens and who is signed in.
type Auth struct {
	cfg     Config
	hashing *hashGate
	guesses *guesses
	fake    string // hash that an unknown name is checked against, so that it takes as long

	mu       sync.Mutex // guards what follows
	doc      document
	code     setupCode
	sessions map[tokenHash]*Session
	used     map[string]time.Time // last use of each token, by id
}

// New reads the accounts in cfg.Dir. Where there are none it writes a set-up code there.
func New(cfg Config) (*Auth, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	a := &Auth{
		cfg: cfg, hashing: newHashGate(), guesses: newGuesses(), fake: fakeHash(),
		sessions: map[tokenHash]*Session{}, used: map[string]time.Time{},
	}
	if err := a.load(); err != nil {
		return nil, err
	}
	if a.SetUp() {
		return a, a.removeCode()
	}
	return a, a.newCode()
}

func (a *Auth) path(name string) string { return filepath.Join(a.cfg.Dir, name) }

// load reads the document. One that a newer version has written gives way to the copy that was kept for
// this one; a version that changes the form keeps such a copy first (copies.Keep).
func (a *Auth) load() error {
	path := a.path(documentName)
	if err := copies.Settle(path, documentVersion); err != nil {
		return err
	}
	err := a.read()
	if err != nil || a.doc.Version <= documentVersion {
		return err
	}
	newer := fmt.Errorf("%s has version %d, this program knows %d: start the newer image", path, a.doc.Version, documentVersion)
	if back, err := copies.Back(path, a.doc.Version, documentVersion); err != nil || !back {
		return errors.Join(newer, err)
	}
	a.cfg.Log.Warn("accounts of the page that a newer version wrote are set aside", "err", newer)
	a.doc = document{}
	return a.read()
}

func (a *Auth) read() error {
	data, err := os.ReadFile(a.path(documentName))
	if errors.Is(err, fs.ErrNotExist) {
		a.doc.Version = documentVersion
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &a.doc); err != nil {
		return fmt.Errorf("read %s: %w", a.path(documentName), err)
	}
	return nil
}

// saveLocked keeps next and then takes it as the truth: an answer never precedes the disk.
func (a *Auth) saveLocked(next document) error {
	data, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := fsx.WriteFile(a.path(documentName), data, 0o600); err != nil {
		if fsx.IsFull(err) {
			return problem.Wrap(err, problem.Full, "auth.disk", "the disk is full: this cannot be kept", "free disk space")
		}
		return err
	}
	a.doc = next
	return nil
}

// copyLocked returns the document with lists of its own.
func (a *Auth) copyLocked() document {
	d := a.doc
	d.Accounts, d.Tokens, d.Known = slices.Clone(d.Accounts), slices.Clone(d.Tokens), slices.Clone(d.Known)
	return d
}

func (d *document) account(name string) *account {
	for i := range d.Accounts {
		if d.Accounts[i].Name == name {
			return &d.Accounts[i]
		}
	}
	return nil
}

// SetUp reports whether there is an owner.
func (a *Auth) SetUp() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.doc.Accounts) > 0
}

// maxKnown bounds the addresses that are remembered.
const maxKnown = 64

// rememberLocked notes an address that signed in: floods of guesses from elsewhere do not slow it.
func (a *Auth) rememberLocked(source netip.Addr) error {
	if slices.Contains(a.doc.Known, source) {
		return nil
	}
	next := a.copyLocked()
	next.Known = append(next.Known, source)
	if n := len(next.Known); n > maxKnown {
		next.Known = slices.Delete(next.Known, 0, n-maxKnown)
	}
	return a.saveLocked(next)
}

// CreateOwner makes the first account if code is the set-up code, and signs it in.
func (a *Auth) CreateOwner(ctx context.Context, source netip.Addr, code, name, password string) (*Session, error) {
	if err := a.CheckCode(source, code); err != nil {
		return nil, err
	}
	hash, err := a.hashing.hash(ctx, password)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.doc.Accounts) > 0 { // another one was quicker
		return nil, errSetUp()
	}
	next := a.copyLocked()
	now := time.Now().UTC()
	next.Accounts = append(next.Accounts, account{Name: name, Role: RoleOwner, Hash: hash, Created: now, Changed: now})
	next.Known = append(next.Known, source)
	if err := a.saveLocked(next); err != nil {
		return nil, fmt.Errorf("create owner: %w", err)
	}
	if err := a.removeCodeLocked(); err != nil {
		a.cfg.Log.Error("the set-up code was not removed", "err", err)
	}
	return a.openLocked(name, RoleOwner, source), nil
}

func errSetUp() error {
	return problem.New(problem.Conflict, "setup.done", "the box is set up already", "sign in")
}

// SignIn checks a password and opens a session. Whatever is wrong, the answer is the same.
func (a *Auth) SignIn(ctx context.Context, source netip.Addr, name, password string) (*Session, error) {
	a.mu.Lock()
	known := slices.Contains(a.doc.Known, source)
	hash, role := a.fake, ""
	if acc := a.doc.account(name); acc != nil {
		hash, role = acc.Hash, acc.Role
	}
	a.mu.Unlock()
	giveBack, err := a.guesses.take(source, known)
	if err != nil {
		return nil, err
	}
	ok, err := a.hashing.verify(ctx, hash, password)
	if err != nil {
		giveBack() // nothing was evaluated
		return nil, err
	}
	if !ok || role == "" {
		return nil, problem.New(problem.Unsigned, "signin.wrong", "name or password is wrong", "try again, or ask the owner of the box")
	}
	giveBack()
	a.mu.Lock()
	defer a.mu.Unlock()
	if acc := a.doc.account(name); acc == nil || acc.Hash != hash {
		return nil, problem.New(problem.Unsigned, "signin.changed", "the password was changed just now", "sign in with the new one")
	}
	if err := a.rememberLocked(source); err != nil {
		a.cfg.Log.Error("an address that signed in is not remembered", "peer", source, "err", err)
	}
	return a.openLocked(name, role, source), nil
}

// ChangePassword replaces the password of who is signed in, and signs out everybody else who
// uses it.
func (a *Auth) ChangePassword(ctx context.Context, id Identity, source netip.Addr, current, next string) error {
	if id.session == nil {
		return problem.New(problem.Denied, "password.token", "an API token has no password", "sign in by name and password")
	}
	a.mu.Lock()
	hash := ""
	if acc := a.doc.account(id.Name); acc != nil {
		hash = acc.Hash
	}
	a.mu.Unlock()
	giveBack, err := a.guesses.take(source, true)
	if err != nil {
		return err
	}
	ok, err := a.hashing.verify(ctx, hash, current)
	if err != nil {
		giveBack()
		return err
	}
	if !ok {
		return problem.Fields("password.wrong", []problem.Fault{{Path: "current", Value: hidden, Rule: "the password you have now", Cure: "type it again"}})
	}
	giveBack()
	fresh, err := a.hashing.hash(ctx, next)
	if err != nil {
		return err
	}
	return a.replaceHash(id, hash, fresh)
}

func (a *Auth) replaceHash(id Identity, old, fresh string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	doc := a.copyLocked()
	acc := doc.account(id.Name)
	if acc == nil || acc.Hash != old {
		return problem.New(problem.Conflict, "password.changed", "the password was changed meanwhile", "sign in again")
	}
	acc.Hash, acc.Changed = fresh, time.Now().UTC()
	if err := a.saveLocked(doc); err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	for hash, s := range a.sessions {
		if s.Name == id.Name && s != id.session {
			a.endLocked(hash, s)
		}
	}
	return nil
}
