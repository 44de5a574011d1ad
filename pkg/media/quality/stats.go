package quality

import (
	"time"

	"github.com/coraltele/sanchar/pkg/media/relay"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/rtp/stats"
)

// Clock turns a time of the relay's clock into the time of day, and no time into none.
type Clock func(at int64) time.Time

// Stats is the account of a stream for people. The caller fills in whose it is.
func Stats(st *relay.State, said *ctl.MediaStream, clock Clock) ctl.StreamStats {
	out := ctl.StreamStats{
		Remote:    st.RTP.Remote(),
		PacketsIn: st.In.Packets, BytesIn: st.BytesIn, PacketsOut: st.Out,
		LostIn: st.In.Lost(), LostOut: uint64(max(0, st.LostOut)), // duplicates can make it negative
		JitterIn: st.In.MeanJitter(), JitterOut: st.JitterOut(), RoundTrip: st.RoundTrip,
		Dropped: st.Strangers, Ignored: st.Ignored, Offloaded: st.Offloaded,
		FirstPacket: clock(st.First), LastPacket: clock(st.Last),
		Refused: st.Refused, ZRTP: st.Encrypted, Unmeasured: st.Unmeasured + st.Unseen,
	}
	if said == nil {
		return out
	}
	out.Kind = said.Kind
	formats := said.Formats
	if len(said.Told) > 0 { // it sends what it was told that we take
		formats = said.Told
	}
	if i := st.MostUsed(); i >= 0 && i < len(formats) {
		out.Codec = formats[i].Encoding
	}
	if total := out.PacketsIn + out.LostIn - min(out.Unmeasured, out.PacketsIn); total > 0 && out.PacketsIn > 0 && said.Kind == "audio" {
		out.MOS = stats.MOS(out.Codec, float64(out.LostIn)/float64(total), out.JitterIn, out.RoundTrip)
	}
	return out
}
