package phone

import (
	"encoding/binary"
	"sync"
	"time"
)

// PTime is the time between two packets of a call.
const PTime = 20 * time.Millisecond

// The packets: PCMU as its first bytes say, numbered from 0.
const (
	rtpVersion = 0x80
	headerSize = 12
	frameSize  = 160
)

// Talk sends media in all calls until it is stopped. Each source has its own SSRC: 1 for the first
// call, and so on.
func Talk(calls []*Call) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		talk(calls, quit)
	}()
	return func() {
		once.Do(func() { close(quit) })
		<-done
	}
}

// talk sends a packet of each call in turn, evenly over the packet time.
func talk(calls []*Call, quit <-chan struct{}) {
	begin := time.Now()
	packet := make([]byte, headerSize+frameSize)
	for n := 0; ; n++ {
		for i, c := range calls {
			due := begin.Add(time.Duration(n)*PTime + time.Duration(i)*PTime/time.Duration(len(calls)))
			if wait := time.Until(due); wait > 0 {
				select {
				case <-quit:
					return
				case <-time.After(wait):
				}
			}
			packet[0], packet[1] = rtpVersion, 0
			binary.BigEndian.PutUint16(packet[2:], uint16(n))
			binary.BigEndian.PutUint32(packet[4:], uint32(n*frameSize))
			binary.BigEndian.PutUint32(packet[8:], uint32(i+1))
			media, remote := c.Media()
			_, _ = media.WriteToUDPAddrPort(packet, remote) // a relay that is away refuses it: the capture tells
		}
	}
}
