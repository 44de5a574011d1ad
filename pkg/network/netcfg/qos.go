package netcfg

// Packet marks are divided: the low byte is the traffic class, the next the uplink that a connection
// came by, counted from 1. Zero is no class and no uplink.
const (
	MarkClassMask  uint32 = 0x00ff
	MarkUplinkMask uint32 = 0xff00
)

// Class is the traffic class in a packet's mark. Shapers queue by it; lower is served first.
type Class uint32

// The classes.
const (
	ClassVoice      Class = 1 // RTP
	ClassSignalling Class = 2 // SIP
	ClassVideo      Class = 3
	ClassNormal     Class = 4 // also what has no class
	ClassBulk       Class = 5
)

// UplinkMark returns the mark of the uplink at a place of the document.
func UplinkMark(at int) uint32 { return uint32(at+1) << 8 & MarkUplinkMask }

// QoS is how traffic is marked. Code points are 0 to 63, RFC 2474 §3.
type QoS struct {
	VoiceDSCP      *uint8   `json:"voiceDSCP,omitempty"`      // RTP; default 46, EF of RFC 3246
	SignallingDSCP *uint8   `json:"signallingDSCP,omitempty"` // SIP; default 24, CS3
	VideoDSCP      *uint8   `json:"videoDSCP,omitempty"`      // default 34, AF41 of RFC 2597
	Bulk           []Prefix `json:"bulk,omitempty"`           // hosts whose traffic waits for all others
}

// VoiceOr returns the code point of RTP.
func (q QoS) VoiceOr() uint8 { return dscp(q.VoiceDSCP, 46) }

// SignallingOr returns the code point of SIP.
func (q QoS) SignallingOr() uint8 { return dscp(q.SignallingDSCP, 24) }

// VideoOr returns the code point of video.
func (q QoS) VideoOr() uint8 { return dscp(q.VideoDSCP, 34) }

func dscp(set *uint8, byDefault uint8) uint8 {
	if set == nil {
		return byDefault
	}
	return *set
}

// Shaper is a queueing discipline for an uplink.
type Shaper string

// The shapers.
const (
	HTB  Shaper = "htb"  // HTB with a class per traffic class, fq_codel (RFC 8290) in each
	CAKE Shaper = "cake" // four tins by DSCP
)

// Shaping keeps the queue in the box, where voice can go first, and not in the modem.
type Shaping struct {
	UpKbit       int    `json:"upKbit"`                 // a little under what the line carries
	DownKbit     int    `json:"downKbit,omitempty"`     // default: what comes is not shaped
	Shaper       Shaper `json:"shaper,omitempty"`       // default htb
	VoicePercent int    `json:"voicePercent,omitempty"` // of the line that voice is sure of; default 40; htb only
}

// ShaperOr returns the queueing discipline.
func (s Shaping) ShaperOr() Shaper { return or(s.Shaper, HTB) }

// VoicePercentOr returns what voice is sure of.
func (s Shaping) VoicePercentOr() int { return or(s.VoicePercent, 40) }
