package ctl

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// RecordingFile is what goes with the file of a recording.
type RecordingFile struct {
	ID          string            `json:"id"`
	Session     string            `json:"session"`
	Name        string            `json:"name"` // of the file, with its extension
	ContentType string            `json:"content_type"`
	Size        int64             `json:"size"`
	SHA256      []byte            `json:"sha256"`
	Started     time.Time         `json:"started"`
	Duration    time.Duration     `json:"duration"`
	Parts       int               `json:"parts,omitempty"` // above 1 mediad was started anew in between
	Torn        bool              `json:"torn,omitempty"`  // its last second may be missing
	About       map[string]string `json:"about,omitempty"` // as it came with MediaRecord
}

// recordingHeader carries a RecordingFile: its JSON in base64url.
const recordingHeader = "Sanchar-Recording"

// PutRecording hands over a recording. When it returns without error the file is synced in the archive,
// with the sum that file names. Asked again for one that is there, the archive agrees.
func (a Admin) PutRecording(ctx context.Context, file RecordingFile, body io.Reader) error {
	about, err := json.Marshal(file)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://unix/v1/recordings/"+url.PathEscape(file.ID), body)
	if err != nil {
		return err
	}
	req.ContentLength = file.Size
	req.Header.Set("Content-Type", file.ContentType)
	req.Header.Set(recordingHeader, base64.URLEncoding.EncodeToString(about))
	resp, err := a.do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// ReadRecording returns what goes with the body of a request that PutRecording made.
func ReadRecording(r *http.Request) (file RecordingFile, err error) {
	about, err := base64.URLEncoding.DecodeString(r.Header.Get(recordingHeader))
	if err == nil {
		err = json.Unmarshal(about, &file)
	}
	if err != nil || file.ID == "" || file.ID != r.PathValue("id") || file.Size != r.ContentLength {
		return file, problem.Wrap(err, problem.Invalid, "recording.about", "the header "+recordingHeader+" does not describe the body", "see package ctl")
	}
	return file, nil
}
