package record

import "time"

// KindRecording are recordings of calls: what each is of, not what is said in it.
const KindRecording Kind = "recording"

// Recording describes a recording of a call. The sound itself is in the vault.
type Recording struct {
	ID          string            `json:"id"`
	Call        string            `json:"call,omitempty"` // id of the call's record
	Caller      Party             `json:"caller"`         // on the left channel
	Callee      Party             `json:"callee"`         // on the right
	Start       time.Time         `json:"start"`
	End         time.Time         `json:"end"`
	Duration    time.Duration     `json:"duration"`         // of what can be heard: pauses are not in it
	Why         string            `json:"why,omitempty"`    // it was recorded
	By          string            `json:"by,omitempty"`     // who asked for it
	Broken      bool              `json:"broken,omitempty"` // a fault ended it: the last seconds may be missing
	ContentType string            `json:"content_type"`
	Size        int64             `json:"size"`
	SHA256      string            `json:"sha256"`         // in hex, of the file
	File        string            `json:"file,omitempty"` // its id in the vault; empty when it is erased
	Until       time.Time         `json:"until"`          // it is erased then
	Erased      time.Time         `json:"erased,omitzero"`
	ErasedBy    string            `json:"erased_by,omitempty"` // an admin; empty when its time was over
	Left        []byte            `json:"left,omitempty"`      // loudness from beginning to end, 0 to 255
	Right       []byte            `json:"right,omitempty"`
	About       map[string]string `json:"about,omitempty"` // what else the call engine said of it
}

// At is what the record says at a time: when a recording's time is over, the sound is erased.
func (r Recording) At(now time.Time) Recording {
	if r.File != "" && !now.Before(r.Until) {
		r.File, r.Erased, r.Left, r.Right = "", r.Until, nil, nil
	}
	return r
}
