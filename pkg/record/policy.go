package record

import (
	"fmt"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

// Bounds of the policy.
const (
	// DefaultKeepDays is what India's DPDP Rules ask for at least of logs and traffic data.
	DefaultKeepDays = 365
	// MinKeepDays is what CERT-In's directions of 2022 ask for: no policy goes below it.
	MinKeepDays = 180
	// MaxKeepDays is ten years: a greater number is a slip.
	MaxKeepDays = 3653
	// DefaultRecordingDays is a quarter of a year: what was said is kept for less time than that it was.
	DefaultRecordingDays = 90
)

// What becomes of what messages say.
const (
	ContentKeep = "keep"
	ContentDrop = "drop"
)

// Policy is what the site keeps of the past.
type Policy struct {
	KeepDays       int    `json:"keep_days" doc:"records are kept for so many days; 180 to 3653"`
	RecordingDays  int    `json:"recording_days" doc:"recordings of calls are kept for so many days, at most keep_days; a change holds for those that come from now on"`
	MessageContent string `json:"message_content" enum:"keep,drop" doc:"whether the log keeps what messages say; it holds for messages that come from now on"`
}

// DefaultPolicy is that of a new box.
func DefaultPolicy() Policy {
	return Policy{KeepDays: DefaultKeepDays, RecordingDays: DefaultRecordingDays, MessageContent: ContentKeep}
}

// Faults returns all that is wrong with the policy.
func (p Policy) Faults() (faults []problem.Fault) {
	switch {
	case p.KeepDays < MinKeepDays:
		faults = append(faults, problem.Fault{
			Path: "keep_days", Value: fmt.Sprint(p.KeepDays), Rule: fmt.Sprintf("at least %d days", MinKeepDays), Cure: "keep records longer",
		})
	case p.KeepDays > MaxKeepDays:
		faults = append(faults, problem.Fault{
			Path: "keep_days", Value: fmt.Sprint(p.KeepDays), Rule: fmt.Sprintf("at most %d days", MaxKeepDays), Cure: "keep records for ten years at most",
		})
	}
	if p.RecordingDays < 1 || (p.RecordingDays > p.KeepDays && p.KeepDays >= MinKeepDays) {
		faults = append(faults, problem.Fault{
			Path: "recording_days", Value: fmt.Sprint(p.RecordingDays), Rule: "from 1 to as many days as records are kept", Cure: "keep recordings for fewer days, or records for more",
		})
	}
	if p.MessageContent != ContentKeep && p.MessageContent != ContentDrop {
		faults = append(faults, problem.Fault{
			Path: "message_content", Value: p.MessageContent, Rule: ContentKeep + " or " + ContentDrop, Cure: "choose one of them",
		})
	}
	return faults
}
