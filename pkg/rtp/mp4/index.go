package mp4

import "math"

const (
	// lastPicture is how long the last picture is seen at least: a frame of sound.
	lastPicture = scale / 50
	// preRoll is how much of Opus is decoded before a place that was sought (RFC 7845 §4.6): 80 ms.
	preRoll = scale * 80 / 1000
)

// index describes the file (ISO/IEC 14496-12 §8.2.1).
func (w *Writer) index() box {
	var end uint32
	for _, t := range w.tracks {
		if t.count > 0 {
			end = max(end, t.last+t.least())
		}
	}
	head := new(fields).u32(1 << 24).zero(16).u32(scale).u64(uint64(end)) // version 1: times of 64 bits
	head.u32(1 << 16).u16(1 << 8).zero(10).matrix().zero(24).u32(uint32(len(w.tracks) + 1))
	parts := []box{{name: "mvhd", body: head.data}}
	for i, t := range w.tracks {
		if t.count == 0 {
			continue
		}
		over := t.last + t.least()
		if t.video() { // the last picture stays
			over = end
		}
		t.steps.add(over - t.last)
		parts = append(parts, t.index(uint32(i+1), over))
	}
	return of("moov", parts...)
}

// least is how long the last sample lasts at least. Sound lasts as long as that before it.
func (t *stream) least() uint32 {
	if t.video() {
		return lastPicture
	}
	return max(t.step, 1)
}

// index describes a track that is over at a tick (ISO/IEC 14496-12 §8.3.1).
func (t *stream) index(id, over uint32) box {
	head := new(fields).u32(1<<24 | 3).zero(16).u32(id).zero(4).u64(uint64(over)).zero(8) // enabled, in the movie
	if t.video() {                                                                        // of all pictures one is shown: they are of one group
		head.u16(0).u16(1).u16(0)
	} else {
		head.u16(0).u16(0).u16(1 << 8)
	}
	head.zero(2).matrix().u32(uint32(t.Width) << 16).u32(uint32(t.Height) << 16)
	media := new(fields).u32(1 << 24).zero(16).u32(scale).u64(uint64(over - t.first)).u16(0x55c4).zero(2) // no language
	kind, medium := "soun", box{name: "smhd", body: make([]byte, 8)}
	if t.video() {
		kind, medium = "vide", box{name: "vmhd", body: new(fields).u32(1).zero(8).data}
	}
	here := box{name: "dref", body: new(fields).u32(0).u32(1).data, parts: []box{{name: "url ", body: new(fields).u32(1).data}}}
	return of("trak",
		box{name: "tkhd", body: head.data},
		of("edts", t.edits(over)),
		of("mdia",
			box{name: "mdhd", body: media.data},
			box{name: "hdlr", body: new(fields).zero(8).text(kind).zero(13).data},
			of("minf", medium, of("dinf", here), t.samples()),
		),
	)
}

// edits tells when a track begins, and what of its beginning is not played (ISO/IEC 14496-12 §8.6.6).
func (t *stream) edits(over uint32) box {
	var list fields
	n := uint32(1)
	if t.first > 0 { // nothing until then
		n++
		list.u64(uint64(t.first)).u64(math.MaxUint64).u32(1 << 16)
	}
	skip := min(uint32(t.PreSkip), over-t.first)
	list.u64(uint64(over - t.first - skip)).u64(uint64(skip)).u32(1 << 16)
	return box{name: "elst", body: new(fields).u32(1 << 24).u32(n).data, more: list.data}
}

// samples tells where each sample is, and when (ISO/IEC 14496-12 §8.5.1).
func (t *stream) samples() box {
	entry := box{name: "stsd", body: new(fields).u32(0).u32(1).data, parts: []box{t.entry()}}
	parts := []box{
		entry,
		table("stts", t.steps.n, t.steps.data),
		table("stsc", t.chunks.n, t.chunks.data),
		{name: "stsz", body: new(fields).u32(0).u32(0).u32(t.count).data, more: t.sizes},
		table("co64", t.number, t.places),
	}
	if t.video() {
		return of("stbl", append(parts, table("stss", uint32(len(t.keys)/4), t.keys))...)
	}
	before := -int16(preRoll / t.least())
	roll := new(fields).u32(1 << 24).text("roll").u32(2).u32(1).u16(uint16(before))
	group := new(fields).u32(0).text("roll").u32(1).u32(t.count).u32(1)
	return of("stbl", append(parts, box{name: "sgpd", body: roll.data}, box{name: "sbgp", body: group.data})...)
}
