package transcode

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/g711"
	"github.com/coraltele/sanchar/pkg/rtp/g722"
	"github.com/coraltele/sanchar/pkg/rtp/opus"
	"github.com/coraltele/sanchar/pkg/rtp/resample"
)

// encoder makes payloads of a codec's samples.
type encoder interface {
	// encode writes the payload of a frame to dst and returns its size.
	encode(dst []byte, frame []int16) int
}

// newEncoder returns the encoder of a format for packets of ptime.
func newEncoder(f *ctl.MediaFormat, ptime time.Duration) (encoder, error) {
	switch strings.ToLower(f.Encoding) {
	case "pcmu":
		return lawEncoder(g711.EncodeMu), nil
	case "pcma":
		return lawEncoder(g711.EncodeA), nil
	case "g722":
		return g722Encoder{g722.NewEncoder()}, nil
	case "opus":
		if ptime != 2*frameTime && ptime != 3*frameTime { // what RFC 6716 §2.1.4 has
			ptime = frameTime
		}
		e, err := opus.NewEncoder(opus.Config{Rate: 16000, Frame: ptime})
		return opusEncoder{e}, err
	}
	return nil, errFormat(f)
}

type lawEncoder func(dst []byte, samples []int16) int

func (e lawEncoder) encode(dst []byte, frame []int16) int { return e(dst, frame) }

type g722Encoder struct{ *g722.Encoder }

func (e g722Encoder) encode(dst []byte, frame []int16) int { return e.Encode(dst, frame) }

type opusEncoder struct{ *opus.Encoder }

func (e opusEncoder) encode(dst []byte, frame []int16) int {
	n, err := e.Encode(dst, frame)
	if err != nil {
		return 0 // a frame of the wrong length: ours are not
	}
	return n
}
