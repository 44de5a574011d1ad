package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/base/fsx"
	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
)

const (
	tokenPrefix = "sanchar_" // lets a scanner of leaked secrets know it
	tokenBytes  = 20         // 160 bits: nobody guesses one, so guesses need no throttle
	maxTokens   = 64
	// fileToken is the name of the token that is written to a file at start.
	fileToken = "token-file"
	// maxSenders bounds the users that one token sends messages of.
	maxSenders = 100
)

// TokenSpec is what is decided about an API token.
type TokenSpec struct {
	Name    string   `json:"name" doc:"what uses it" example:"nightly backup"`
	Role    string   `json:"role,omitempty" enum:"owner,sender" default:"owner" doc:"owner may do everything, sender only send messages"`
	Senders []string `json:"senders,omitempty" doc:"of a sender: names of the users in whose name it may send"`
}

func (s *TokenSpec) faults() []problem.Fault {
	faults := CheckName("name", s.Name)
	bad := func(path, value, rule, cure string) {
		faults = append(faults, problem.Fault{Path: path, Value: value, Rule: rule, Cure: cure})
	}
	switch {
	case s.Role != RoleOwner && s.Role != RoleSender:
		bad("role", s.Role, RoleOwner+" or "+RoleSender, "choose one of them")
	case s.Role == RoleOwner && len(s.Senders) > 0:
		bad("senders", strings.Join(s.Senders, " "), "none for an owner, who may send in every name", "leave them out, or choose the role sender")
	case s.Role == RoleSender && (len(s.Senders) == 0 || len(s.Senders) > maxSenders):
		bad("senders", fmt.Sprint(len(s.Senders)), fmt.Sprintf("1 to %d users", maxSenders), "name the users in whose name it may send")
	}
	return faults
}

// Token is an API token as it is listed: without its secret.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	Role     string    `json:"role"`
	By       string    `json:"by"` // who made it
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used,omitzero"` // since admind started
	Senders  []string  `json:"senders,omitempty"`
}

// storedToken is an API token as it is kept.
type storedToken struct {
	Token
	Hash string `json:"hash"` // SHA-256 of the secret
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// NewToken makes an API token. Its secret is returned this once.
func (a *Auth) NewToken(by string, spec TokenSpec) (Token, string, error) {
	if spec.Role == "" {
		spec.Role = RoleOwner
	}
	if faults := spec.faults(); faults != nil {
		return Token{}, "", problem.Fields("token.name", faults)
	}
	name := spec.Name
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case slices.ContainsFunc(a.doc.Tokens, func(t storedToken) bool { return t.Name == name }):
		return Token{}, "", &problem.Error{
			Kind: problem.Conflict, Code: "token.name.taken", Text: "there is an API token of this name", Cure: "choose another name, or revoke the other",
			Faults: []problem.Fault{{Path: "name", Value: name, Rule: "not the name of another token", Cure: "choose another name"}},
		}
	case len(a.doc.Tokens) >= maxTokens:
		return Token{}, "", problem.New(problem.Full, "token.limit", fmt.Sprintf("there are %d API tokens already", maxTokens), "revoke those that nobody uses")
	}
	return a.addTokenLocked(a.copyLocked(), by, spec)
}

func (a *Auth) addTokenLocked(next document, by string, spec TokenSpec) (Token, string, error) {
	secret := tokenPrefix + ids.Random(tokenBytes)
	t := Token{ID: ids.Random(10), Name: spec.Name, Role: spec.Role, Senders: spec.Senders, By: by, Created: time.Now().UTC()}
	next.Tokens = append(next.Tokens, storedToken{t, hashOf(secret)})
	if err := a.saveLocked(next); err != nil {
		return Token{}, "", fmt.Errorf("make API token: %w", err)
	}
	return t, secret, nil
}

// Tokens lists the API tokens.
func (a *Auth) Tokens() []Token {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []Token{}
	for _, t := range a.doc.Tokens {
		t.LastUsed = a.used[t.ID]
		list = append(list, t.Token)
	}
	return list
}

// RevokeToken ends an API token at once.
func (a *Auth) RevokeToken(id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next := a.copyLocked()
	next.Tokens = slices.DeleteFunc(next.Tokens, func(t storedToken) bool { return t.ID == id })
	if len(next.Tokens) == len(a.doc.Tokens) {
		return problem.New(problem.Missing, "token.missing", "there is no such API token", "list them")
	}
	if err := a.saveLocked(next); err != nil {
		return fmt.Errorf("revoke API token: %w", err)
	}
	delete(a.used, id)
	return nil
}

func (a *Auth) identifyToken(secret string) (Identity, error) {
	hash := hashOf(secret)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.doc.Tokens {
		if t.Hash == hash { // of a hash, so time tells nothing of the secret
			a.used[t.ID] = time.Now().UTC()
			return Identity{Name: t.Name, Role: t.Role, Token: t.ID, Senders: t.Senders}, nil
		}
	}
	return Identity{}, problem.New(problem.Unsigned, "token.unknown", "the API token is not valid", "make a new one: it may have been revoked")
}

// WriteTokenFile makes sure that the file at path holds a valid API token of role owner, for
// programs that run the box unattended. It does not make an owner: the page still asks for one.
func (a *Auth) WriteTokenFile(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	hash := hashOf(strings.TrimSpace(string(old)))
	if slices.ContainsFunc(a.doc.Tokens, func(t storedToken) bool { return t.Name == fileToken && t.Hash == hash }) {
		return nil
	}
	next := a.copyLocked()
	next.Tokens = slices.DeleteFunc(next.Tokens, func(t storedToken) bool { return t.Name == fileToken })
	_, secret, err := a.addTokenLocked(next, "the command line", TokenSpec{Name: fileToken, Role: RoleOwner})
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, []byte(secret+"\n"), 0o600)
}
