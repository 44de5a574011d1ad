package secure

// MaxSources is how many SSRCs of one side are told apart: sound and picture with their retransmissions,
// of a party that was once replaced. Only authentic packets make one known; the one heard of least
// recently makes room.
const MaxSources = 6

// State is what packets change of both directions. It holds no pointer and its size is fixed, so that
// it can be kept over a restart by a copy of its memory.
type State struct {
	In  InState
	Out OutState
}

// InState is what is known of the SSRCs that a party sends.
type InState struct {
	Sources [MaxSources]Source
	Turn    uint32
}

// Source is what is known of one SSRC.
type Source struct {
	SSRC   uint32
	Turn   uint32 // when it was heard of last; 0 for a place that is free
	ROC    uint32 // rollover counter of Highest (RFC 3711 §3.3.1)
	Report uint32 // highest SRTCP index, 1 added
	// Window marks the packets behind the highest one that have come, this one first (RFC 3711 §3.3.2).
	// A picture's retransmitted packets are late by more than the 64 that the RFC asks for.
	Window  [2]uint64
	Reports uint64 // the same of SRTCP
	Highest uint16
	Started bool // an SRTP packet has come
	Unsure  bool // of the ROC: the key is new, and the party may have begun to count anew
}

const windowSize = 128

// OutState is what is known of the SSRCs that are sent to a party.
type OutState struct {
	Sources [MaxSources]OutSource
	Turn    uint32
	Report  uint32 // next SRTCP index, of all SSRCs
}

// OutSource is what is known of one SSRC that is sent.
type OutSource struct {
	SSRC, Turn, ROC uint32
	Highest         uint16
	Shift           uint16 // that is added to the sequence numbers of the sender
	Resume          uint16 // number that would prove that the sender has started again
	Resuming        bool
	Window          [2]uint64
}

// index guesses the index of the packet with this sequence number by the highest one (RFC 3711 §3.3.1).
// It reports false for a packet from before the first. That the counter overflows, and ends the life of
// the key (RFC 3711 §9.2), would take a picture 9,000 years.
func index(roc uint32, highest, seq uint16) (uint64, bool) {
	switch {
	case highest < 1<<15 && seq > highest && seq-highest > 1<<15:
		if roc == 0 {
			return 0, false
		}
		roc--
	case highest >= 1<<15 && highest-1<<15 > seq:
		roc++
	}
	return uint64(roc)<<16 | uint64(seq), true
}

// seen reports whether the window, whose first packet is highest, has the packet of index, or is past it.
func seen(window *[2]uint64, highest, index uint64) bool {
	if index > highest {
		return false
	}
	back := highest - index
	return back >= windowSize || window[back/64]>>(back%64)&1 != 0
}

// mark puts the packet of index into the window and returns the highest one.
func mark(window *[2]uint64, highest, index uint64) uint64 {
	if index > highest {
		shift(window, index-highest)
		highest = index
	}
	back := highest - index
	window[back/64] |= 1 << (back % 64)
	return highest
}

// shift moves the window forward by n packets.
func shift(w *[2]uint64, n uint64) {
	switch {
	case n < 64:
		w[1], w[0] = w[1]<<n|w[0]>>(64-n), w[0]<<n
	case n < windowSize:
		w[1], w[0] = w[0]<<(n-64), 0
	default:
		w[1], w[0] = 0, 0
	}
}

// find returns what is known of an SSRC, or nil.
func (st *InState) find(ssrc uint32) *Source {
	for i := range st.Sources {
		if s := &st.Sources[i]; s.SSRC == ssrc && s.Turn != 0 {
			return s
		}
	}
	return nil
}

// take returns the place of an SSRC, which an authentic packet has come of.
func (st *InState) take(ssrc uint32) *Source {
	st.Turn++
	s := st.find(ssrc)
	if s == nil {
		s = &st.Sources[0]
		for i := range st.Sources {
			if st.Sources[i].Turn < s.Turn {
				s = &st.Sources[i]
			}
		}
		*s = Source{SSRC: ssrc}
	}
	s.Turn = st.Turn
	return s
}

func (s *Source) highest() uint64 { return uint64(s.ROC)<<16 | uint64(s.Highest) }

// note remembers an authentic SRTP packet.
func (s *Source) note(index uint64) {
	if !s.Started || s.Unsure {
		s.Started, s.Unsure, s.Window = true, false, [2]uint64{}
		s.ROC, s.Highest = uint32(index>>16), uint16(index)
	}
	h := mark(&s.Window, s.highest(), index)
	s.ROC, s.Highest = uint32(h>>16), uint16(h)
}

// reported reports whether the SRTCP packet of index has come, or is too old to tell.
func (s *Source) reported(index uint32) bool {
	if index >= s.Report {
		return false
	}
	back := s.Report - 1 - index
	return back >= 64 || s.Reports>>back&1 != 0
}

// noteReport remembers an authentic SRTCP packet.
func (s *Source) noteReport(index uint32) {
	if index >= s.Report {
		s.Reports <<= min(index+1-s.Report, 64)
		s.Report = index + 1
	}
	s.Reports |= 1 << (s.Report - 1 - index)
}

// Rekey is called when the party has another key: a counter goes on (RFC 3711 §3.3.1) or begins anew, as
// with many phones, which the first packet of each SSRC will tell.
func (st *InState) Rekey() {
	for i := range st.Sources {
		s := &st.Sources[i]
		s.Unsure, s.Report, s.Reports = s.Started && s.ROC != 0, 0, 0
		s.Started = s.Unsure // of a counter at 0 nothing is left to guess
	}
}

// take returns the place of an SSRC that is sent.
func (st *OutState) take(ssrc uint32) *OutSource {
	st.Turn++
	oldest := &st.Sources[0]
	for i := range st.Sources {
		s := &st.Sources[i]
		if s.SSRC == ssrc && s.Turn != 0 {
			s.Turn = st.Turn
			return s
		}
		if s.Turn < oldest.Turn {
			oldest = s
		}
	}
	*oldest = OutSource{SSRC: ssrc}
	return oldest
}

// next returns the index for a packet, and false if the packet was sent before or is too old to tell:
// protected once more, and perhaps changed, it would give the key stream away (RFC 3711 §9.1). The low
// 16 bits of the index are the sequence number to send it with: that of the sender, unless it has started
// again, which a second packet proves (as in RFC 3550 §A.1). Then its numbers are moved, so that they go on.
func (s *OutSource) next(turn uint32, seq uint16) (uint64, bool) {
	if s.Turn == 0 {
		s.Turn, s.Highest = turn, seq
		mark(&s.Window, uint64(seq), uint64(seq))
		return uint64(seq), true
	}
	highest := uint64(s.ROC)<<16 | uint64(s.Highest)
	i, ok := index(s.ROC, s.Highest, seq+s.Shift)
	switch {
	case ok && (i > highest || highest-i < windowSize):
	case s.Resuming && seq == s.Resume:
		s.Shift = s.Highest + 1 - seq
		i = highest + 1
	default:
		s.Resume, s.Resuming = seq+1, true
		return 0, false
	}
	s.Resuming = false
	if seen(&s.Window, highest, i) {
		return 0, false
	}
	h := mark(&s.Window, highest, i)
	s.ROC, s.Highest = uint32(h>>16), uint16(h)
	return i, true
}

// lostReports is by how much the SRTCP index jumps over a restart: what was sent since the state was
// kept is not known, and no index may be used twice. A party's reports are fewer in that second.
const lostReports = 1 << 12

// Restart is called when the state is of some time ago.
func (st *State) Restart() { st.Out.Report += lostReports }
