package develop

import (
	"github.com/pion/rtp/codecs"

	"github.com/coraltele/sanchar/pkg/rtp/avc"
)

// avcCoder is of RFC 6184, in its modes without interleaving.
//
// Files have the parameter sets beside the pictures, where they must not change. So a film is read twice: when
// they have changed in between, the second time each picture that stands alone has them in front.
type avcCoder struct {
	params string
	packet codecs.H264Packet
	now    avc.Sets // what is in force
	begun  bool     // a picture that stands alone was there
	tell   bool     // pictures are to have the sets in front
	fresh  bool     // the next one, too
	change bool     // the sets have changed since the first picture
}

func newAVCCoder(params string) *avcCoder {
	c := &avcCoder{params: params, packet: codecs.H264Packet{IsAVC: true}}
	for _, unit := range avc.Sprop(params) {
		c.now.Put(unit)
	}
	return c
}

func (c *avcCoder) again() coder {
	fresh := newAVCCoder(c.params)
	fresh.tell = c.change
	return fresh
}

func (c *avcCoder) inBand() bool { return c.tell }

func (c *avcCoder) reset() { c.packet = codecs.H264Packet{IsAVC: true} }

// unpack is of RFC 6184 §5.6 to §5.8.
func (c *avcCoder) unpack(payload []byte) (data []byte, begins bool, err error) {
	if _, first := avc.Fragment(payload); first {
		c.reset()
	}
	data, err = c.packet.Unmarshal(payload)
	return data, avc.Begins(payload), err
}

// finish takes the parameter sets out of a picture.
func (c *avcCoder) finish(data []byte) (picture []byte, alone *look) {
	var slice []byte // the first
	for unit := range avc.Units(data) {
		switch avc.KindOf(unit) {
		case avc.SPS, avc.PPS:
			if c.now.Put(unit) && c.begun {
				c.change, c.fresh = true, true
			}
			continue
		case avc.Delimiter, avc.Filler:
			continue
		case avc.Slice, avc.IDR:
			if slice == nil {
				slice = unit
			}
		}
		picture = avc.Append(picture, unit)
	}
	if slice == nil {
		return nil, nil
	}
	if avc.KindOf(slice) == avc.IDR {
		if width, height, ok := c.now.Size(slice); ok {
			alone = &look{width: width, height: height, config: c.now.Config(slice)}
			c.begun = true
		}
	}
	if c.tell && (c.fresh || alone != nil) {
		picture = append(c.now.Append(nil), picture...)
	}
	c.fresh = false
	return picture, alone
}
