package secure

import (
	"fmt"
	"testing"
)

// BenchmarkProtect and BenchmarkOpen are of a voice packet of 20 ms and of a picture's packet; beside
// them the library that tests use as the other end.
func BenchmarkProtect(b *testing.B) {
	for _, suite := range []Suite{AES128SHA80, AES256SHA80, GCM128, GCM256} {
		for _, n := range []int{160, 1100} {
			m := NewMaster(suite)
			b.Run(fmt.Sprintf("%s/%d/ours", suite, n), func(b *testing.B) {
				p := newPair(b, m)
				buf := roomy(packet(b, 1, 1, n))
				size, seq := len(buf), uint16(0)
				b.ReportAllocs()
				for b.Loop() {
					seq++
					buf[2], buf[3] = byte(seq>>8), byte(seq)
					if _, ok := p.out.RTP(buf[:size]); !ok {
						b.Fatal("not protected")
					}
				}
			})
			b.Run(fmt.Sprintf("%s/%d/pion", suite, n), func(b *testing.B) {
				c := oracle(b, m)
				buf, dst, seq := packet(b, 1, 1, n), make([]byte, 0, 2000), uint16(0)
				b.ReportAllocs()
				for b.Loop() {
					seq++
					buf[2], buf[3] = byte(seq>>8), byte(seq)
					if _, err := c.EncryptRTP(dst, buf, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, suite := range []Suite{AES128SHA80, AES256SHA80, GCM128, GCM256} {
		m := NewMaster(suite)
		const packets = 1 << 14
		sent := make([][]byte, packets)
		p := newPair(b, m)
		for i := range sent {
			sent[i] = p.protect160(uint16(i))
		}
		b.Run(fmt.Sprintf("%s/ours", suite), func(b *testing.B) {
			buf := make([]byte, 2000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % packets {
				if i == 0 {
					p.st.In = InState{}
				}
				if _, v := p.in.RTP(buf[:copy(buf, sent[i])]); v != Authentic {
					b.Fatal(v)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/pion", suite), func(b *testing.B) {
			c := oracle(b, m)
			dst := make([]byte, 0, 2000)
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % packets {
				if _, err := c.DecryptRTP(dst, sent[i], nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func (p *pair) protect160(seq uint16) []byte {
	return must(p.out.RTP(roomy(packet(p.t, 1, seq, 160))))
}
