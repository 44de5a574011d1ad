package stats

import (
	"strings"
	"time"
)

// codec is how a codec stands loss (ITU-T G.113 Appendix I): ie is its impairment without loss, bpl
// its robustness against random loss.
type codec struct{ ie, bpl float64 }

// codecOf returns the values of an encoding. Codecs that the appendix does not list on the
// narrowband scale, Opus and G.722 among them, are better than it can tell without loss; they count
// as G.711 with concealment.
func codecOf(encoding string) codec {
	switch strings.ToUpper(encoding) {
	case "G729", "G729A":
		return codec{11, 19}
	case "G723":
		return codec{15, 16.1}
	case "GSM":
		return codec{20, 10}
	case "GSM-EFR", "AMR":
		return codec{5, 10}
	case "ILBC":
		return codec{11, 32}
	}
	return codec{0, 25.1}
}

// The E-model with its default values (ITU-T G.107 §7.7) and the delay term of its usual
// approximation, in milliseconds.
const (
	ratingDefault = 93.2
	delaySlope    = 0.024
	delayKnee     = 177.3
	delayTail     = 0.11
	packetTime    = 20 // to fill a packet and to play it
)

// MOS estimates what a listener thinks of a stream: 1 to 4.5, of the loss (0 to 1), the jitter, which
// a play-out buffer of twice its size evens out, and the round trip between box and party.
func MOS(encoding string, loss float64, jitter, roundTrip time.Duration) float64 {
	delay := 2*packetTime + ms(2*jitter) + ms(roundTrip)/2
	impairment := delaySlope * delay
	if delay > delayKnee {
		impairment += delayTail * (delay - delayKnee)
	}
	c := codecOf(encoding)
	percent := 100 * min(max(loss, 0), 1)
	// ITU-T G.107 §7.4, equation 7-29, with random loss.
	return fromRating(ratingDefault - impairment - c.ie - (95-c.ie)*percent/(percent+c.bpl))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// fromRating turns the rating factor R into a mean opinion score (ITU-T G.107 Annex B).
func fromRating(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}
