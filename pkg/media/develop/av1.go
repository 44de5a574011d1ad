package develop

import (
	"bytes"
	"math"

	"github.com/pion/rtp/codecs"

	"github.com/coraltele/sanchar/pkg/rtp/av1"
)

// av1Coder is of the RTP payload format for AV1 of the Alliance for Open Media.
type av1Coder struct{ packet codecs.AV1Depacketizer }

// Limits of what a party may tell of its pictures: more does not fit a file.
const (
	maxSide   = math.MaxUint16
	maxHeader = 1024
)

func (c *av1Coder) reset() { c.packet = codecs.AV1Depacketizer{} }

func (*av1Coder) inBand() bool { return false }

func (c *av1Coder) again() coder { return new(av1Coder) }

// unpack is of §4.4 of the format. A packet that goes on with a unit begins no picture.
func (c *av1Coder) unpack(payload []byte) (data []byte, begins bool, err error) {
	data, err = c.packet.Unmarshal(payload)
	return data, !c.packet.Z, err
}

func (c *av1Coder) finish(data []byte) (picture []byte, alone *look) {
	picture = bytes.Clone(data)
	header := av1.Key(data)
	if header == nil {
		return picture, nil
	}
	s, err := av1.ParseSequence(header)
	if err != nil || s.Width > maxSide || s.Height > maxSide || len(header) > maxHeader {
		return picture, nil
	}
	return picture, &look{width: s.Width, height: s.Height, config: s.Config(header)}
}
