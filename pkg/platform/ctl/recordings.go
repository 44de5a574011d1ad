package ctl

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// RecordingHeader carries a RecordingHead, as base64 of its JSON, with the file itself as body.
const RecordingHeader = "Sanchar-Recording"

// RecordingHead describes a recording that is whole.
type RecordingHead struct {
	ID          string            `json:"id"` // as MediaRecord named it: of ids.Record
	ContentType string            `json:"content_type"`
	Size        int64             `json:"size"`
	SHA256      []byte            `json:"sha256"`
	Start       time.Time         `json:"start"`
	End         time.Time         `json:"end"`
	Duration    time.Duration     `json:"duration"` // of what is in it: pauses are not
	Broken      bool              `json:"broken,omitempty"`
	Peaks       [2][]byte         `json:"peaks"` // loudness of each channel from beginning to end, 0 to 255 linear; MaxPeaks at most
	About       map[string]string `json:"about,omitempty"`
}

// MaxPeaks is how many bars a picture of a recording has at most.
const MaxPeaks = 1000

// Keys of About that say what a recording is of. Others are kept as they are.
const (
	AboutCall         = "call"   // id of the call's record
	AboutCaller       = "caller" // name of the account, of the left channel
	AboutCallerNumber = "caller_number"
	AboutCallee       = "callee" // of the right channel
	AboutCalleeNumber = "callee_number"
	AboutWhy          = "why" // "policy", "feature code", "page"
	AboutBy           = "by"  // who asked for it
)

// StoreRecording hands a recording over. When it returns without error the archive has it on disk;
// the same one may be handed over again.
func (a Admin) StoreRecording(ctx context.Context, head RecordingHead, body io.Reader) error {
	data, err := json.Marshal(head)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://unix/v1/recordings/"+url.PathEscape(head.ID), body)
	if err != nil {
		return err
	}
	req.ContentLength = head.Size
	req.Header.Set(RecordingHeader, base64.StdEncoding.EncodeToString(data))
	req.Header.Set("Content-Type", head.ContentType)
	resp, err := a.ask(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// ReadRecordingHead reads what a request says of the recording in its body.
func ReadRecordingHead(r *http.Request) (head RecordingHead, err error) {
	data, err := base64.StdEncoding.DecodeString(r.Header.Get(RecordingHeader))
	if err == nil {
		err = json.Unmarshal(data, &head)
	}
	if err == nil && head.ID != r.PathValue("id") {
		err = fmt.Errorf("it is of recording %q", head.ID)
	}
	if err != nil {
		return head, problem.Wrap(err, problem.Invalid, "recording.head", "the header "+RecordingHeader+" cannot be read", "see package ctl")
	}
	return head, nil
}
