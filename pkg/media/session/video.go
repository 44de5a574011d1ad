package session

import (
	"math/rand/v2"
	"strings"

	"github.com/coraltele/sanchar/pkg/rtp/rtcp"
)

// overhead of a packet of video below RTP: IPv4 and UDP (RFC 5104 §4.2.1.2).
const overhead = 28

// video is what the box asks of a party's video.
type video struct {
	ssrc  uint32 // of the box
	lost  uint64 // packets, when it was last looked at
	fresh bool   // a recorder has begun to look on
	turn  uint8  // of requests for a whole picture
}

// feedback asks the party of a video stream for what is wanted of it: a picture that stands alone for a
// recorder that has just come, or has missed something, and no more bits than policy lets it have. It is
// called once a second, inside the loop.
func (st *stream) feedback(other *stream) {
	if st.said == nil || !strings.EqualFold(st.kind, "video") || !st.said.Feedback || !st.state.In.Started || !st.readable() {
		return
	}
	v := &st.video
	if v.ssrc == 0 {
		v.ssrc = rand.Uint32() | 1
	}
	media := st.state.In.SSRC
	b := rtcp.AppendEmptyReport(make([]byte, 0, 96), v.ssrc)
	begin := len(b)
	lost := st.state.In.Lost()
	switch {
	case !st.tapped:
	case v.fresh:
		v.fresh = false
		v.turn++
		b = rtcp.AppendFIR(b, v.ssrc, media, v.turn)
		b = rtcp.AppendPLI(b, v.ssrc, media) // for those who know this only
	case lost > v.lost:
		b = rtcp.AppendPLI(b, v.ssrc, media)
	}
	v.lost = lost
	if limit := bandwidth(st, other); limit > 0 {
		b = rtcp.AppendTMMBR(b, v.ssrc, media, limit, overhead)
		b = rtcp.AppendEstimate(b, v.ssrc, media, limit)
	}
	if len(b) > begin {
		st.relay.SendReport(b)
	}
}

// bandwidth is what a party may send to another, in bits a second, 0 for no limit: the lower of what both
// may have.
func bandwidth(from, to *stream) uint64 {
	limit := from.said.Bandwidth
	if to != nil && to.said != nil && to.said.Bandwidth > 0 && (limit == 0 || to.said.Bandwidth < limit) {
		limit = to.said.Bandwidth
	}
	return uint64(limit) * 1000
}
