package ctl

import (
	"context"
	"net/http"
	"net/netip"
	"time"
)

// DigestRequest asks whether an HTTP request that came to another daemon comes from a user. Only
// switchd knows the users' HA1, and it tells nobody.
type DigestRequest struct {
	Method        string     `json:"method"`
	Target        string     `json:"target"`                  // of the request, as it stands in its first line (RFC 9112 §3.2)
	Authorization string     `json:"authorization,omitempty"` // the header as it came; "" has none
	From          string     `json:"from,omitempty"`          // the header as it came: who the client says that it is
	Source        netip.Addr `json:"source"`
	UserAgent     string     `json:"user_agent,omitempty"`
}

// Outcomes of a DigestRequest. Unknown, disabled and wrong are one: the peer is asked again.
const (
	DigestAccepted  = "accepted"
	DigestChallenge = "challenge"
	DigestForbidden = "forbidden" // a user who claims to be another
	DigestBanned    = "banned"    // the source guessed too often
)

// DigestAnswer says who sent the request, or with what to challenge its sender.
type DigestAnswer struct {
	Outcome    string   `json:"outcome"`
	UserID     string   `json:"user_id,omitempty"`
	User       string   `json:"user,omitempty"`       // name
	Challenges []string `json:"challenges,omitempty"` // values of WWW-Authenticate, in their order
}

// Digest checks the credentials of an HTTP request.
func (s Switch) Digest(ctx context.Context, in DigestRequest) (out DigestAnswer, err error) {
	return out, s.Do(ctx, http.MethodPost, "/v1/digest", in, &out)
}

// StoredFile is a file that a user sent.
type StoredFile struct {
	ID          string    `json:"id"` // random: who knows it was told
	OwnerID     string    `json:"owner_id"`
	Owner       string    `json:"owner"` // name of the account when it was sent
	Name        string    `json:"name"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`
	SHA256      []byte    `json:"sha256"`
	Created     time.Time `json:"created"`
	Until       time.Time `json:"until"` // it is erased then
}

// FilePolicy is what an admin decides about files between users.
type FilePolicy struct {
	Enabled  bool     `json:"enabled" doc:"users may send files"`
	MaxMB    int      `json:"max_mb" doc:"largest file, in MB"`
	QuotaMB  int      `json:"quota_mb" doc:"what all kept files of one user may take, in MB"`
	Days     int      `json:"days" doc:"how long a file can be fetched; then it is erased"`
	Types    []string `json:"types" doc:"content types that may be sent, as image/* or application/pdf; none is all"`
	Programs bool     `json:"programs" doc:"programs may be sent"`
	ScanURL  string   `json:"scan_url" doc:"ICAP service that looks at each file before it is kept, as icap://192.0.2.9:1344/avscan"`
	Host     string   `json:"host" doc:"host, with port if it is not the page's, by which all users reach the box; empty is how the sender reached it"`
}

// FileUsage is what the files take.
type FileUsage struct {
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
	Free    uint64 `json:"free"`    // on the disk
	Reserve uint64 `json:"reserve"` // of the disk that files do not take
}
