// Package ntp keeps the clock by several sources and tells the time to the hosts of our zones
// (RFC 5905, client and server modes).
package ntp

import (
	"encoding/binary"
	"time"
)

// Modes and lengths of RFC 5905 §7.3.
const (
	modeClient   = 3
	modeServer   = 4
	packetBytes  = 48
	leapUnknown  = 3  // the clock is not synchronised
	stratumMax   = 15 // 16 is unsynchronised, written as 0
	oldest       = 1  // versions that a server answers; the reply is of the version asked
	newest       = 4
	eraOffset    = 2208988800 // seconds from 1900 to 1970
	fractionUnit = 1 << 32
)

// timestamp is RFC 5905 §6: seconds since 1900 and a fraction of 32 bits. It wraps in 2036 and goes on.
func timestamp(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	seconds := uint64(t.Unix() + eraOffset)
	return seconds<<32 | uint64(t.Nanosecond())*fractionUnit/uint64(time.Second)
}

// short is a duration as 16 bits of seconds and 16 of their fraction.
func short(d time.Duration) uint32 {
	const most = 1<<16 - 1
	return uint32(min(max(d.Seconds(), 0), most) * (1 << 16))
}

// reply writes what the clock is to a request, and false if it is none that is answered. The reply is
// never longer than the request.
func reply(request []byte, st State, received time.Time, now func() time.Time) (b []byte, ok bool) {
	if len(request) < packetBytes {
		return nil, false
	}
	version, mode := request[0]>>3&7, request[0]&7
	if mode != modeClient || version < oldest || version > newest {
		return nil, false
	}
	b = make([]byte, packetBytes)
	leap, stratum := byte(st.Leap), byte(st.Stratum)
	if !st.Synced || stratum > stratumMax {
		leap, stratum = leapUnknown, 0
	}
	b[0] = leap<<6 | version<<3 | modeServer
	b[1], b[2], b[3] = stratum, request[2], byte(256+precision)
	binary.BigEndian.PutUint32(b[4:], short(st.RootDelay))
	binary.BigEndian.PutUint32(b[8:], short(st.dispersionAt(received)))
	copy(b[12:16], st.Reference[:])
	binary.BigEndian.PutUint64(b[16:], timestamp(st.Updated))
	copy(b[24:32], request[40:48]) // the origin: what the client put in as its transmit time
	binary.BigEndian.PutUint64(b[32:], timestamp(received))
	binary.BigEndian.PutUint64(b[40:], timestamp(now()))
	return b, true
}
