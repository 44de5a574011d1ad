package secure

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 3711 §B.3, and RFC 6188 §7.2 with a key of 256 bits.
func TestKeyDerivation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ master, salt, key, cipherSalt, auth string }{
		{
			"E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6",
			"C61E7A93744F39EE10734AFE3FF7A087", "30CBBC08863D8C85D49DB34A9AE1", "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4",
		},
		{
			"f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2",
			"5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4", "fa31791685ca444a9e07c6c64e93", "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
		},
	} {
		block, err := aes.NewCipher(unhex(t, c.master))
		if err != nil {
			t.Fatal(err)
		}
		for label, want := range map[byte]string{labelKey: c.key, labelSalt: c.cipherSalt, labelAuth: c.auth} {
			got := make([]byte, len(want)/2)
			if derive(block, unhex(t, c.salt), label, got); !bytes.Equal(got, unhex(t, want)) {
				t.Errorf("label %d: % x, want %s", label, got, want)
			}
		}
	}
}

// RFC 3711 §B.2: the key stream of counter mode.
func TestCounterMode(t *testing.T) {
	t.Parallel()
	block, err := aes.NewCipher(unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"))
	if err != nil {
		t.Fatal(err)
	}
	s := session{block: block}
	copy(s.salt[:], unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"))
	p := make([]byte, 0xff02*16+3)
	s.xor(p, 0, 0)
	for at, want := range map[int]string{
		0: "E03EAD0935C95E80E166B16DD92B4EB4", 1: "D23513162B02D0F72A43A2FE4A5F97AB", 2: "41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4", 0xff00: "362B7C3C6773516318A077D7FC5073AE", 0xff01: "6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		if got := p[at*16:][:16]; !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("block %x: % x, want %s", at, got, want)
		}
	}
}

// RFC 7714 §16.1.1, §16.2.1 and §17.1: the session keys are given.
func TestGCMVectors(t *testing.T) {
	t.Parallel()
	const (
		rtpClear  = "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573"
		rtcpClear = "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
	)
	for _, c := range []struct{ key, rtp, rtcp string }{
		{
			"000102030405060708090a0b0c0d0e0f",
			"8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
			"81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4",
		},
		{
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
			"81c8000d4d617273d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be800005d4",
		},
	} {
		s := session{tag: 16}
		copy(s.salt[:], unhex(t, "517569642070726f2071756f"))
		s.gcm(t, unhex(t, c.key))
		st := &OutState{Report: 0x5d4}
		out := Out{rtp: &s, rtcp: &s, state: st}
		p, ok := out.RTP(append(make([]byte, 0, 100), unhex(t, rtpClear)...))
		if !ok || !bytes.Equal(p, unhex(t, c.rtp)) {
			t.Errorf("RTP %x, want %s", p, c.rtp)
		}
		r, ok := out.RTCP(append(make([]byte, 0, 100), unhex(t, rtcpClear)...))
		if !ok || !bytes.Equal(r, unhex(t, c.rtcp)) {
			t.Errorf("RTCP %x, want %s", r, c.rtcp)
		}
		in := In{rtp: &s, rtcp: &s, state: &InState{}}
		if got, v := in.RTP(p); v != Authentic || !bytes.Equal(got, unhex(t, rtpClear)) {
			t.Errorf("opened %x, %v", got, v)
		}
		if got, v := in.RTCP(r); v != Authentic || !bytes.Equal(got, unhex(t, rtcpClear)) {
			t.Errorf("opened %x, %v", got, v)
		}
	}
}

// oracle is the other end, by another library.
func oracle(t testing.TB, m Master, opts ...srtp.ContextOption) *srtp.Context {
	t.Helper()
	profile := map[Suite]srtp.ProtectionProfile{
		AES128SHA80: srtp.ProtectionProfileAes128CmHmacSha1_80, AES128SHA32: srtp.ProtectionProfileAes128CmHmacSha1_32,
		AES256SHA80: srtp.ProtectionProfileAes256CmHmacSha1_80, AES256SHA32: srtp.ProtectionProfileAes256CmHmacSha1_32,
		GCM128: srtp.ProtectionProfileAeadAes128Gcm, GCM256: srtp.ProtectionProfileAeadAes256Gcm,
	}[m.Suite]
	if len(m.MKI) > 0 {
		opts = append(opts, srtp.MasterKeyIndicator(m.MKI))
	}
	c, err := srtp.CreateContext(m.Key[:m.Suite.KeySize()], m.Key[m.Suite.KeySize():], profile, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// packet has a CSRC, an extension and a payload of n bytes.
func packet(t testing.TB, ssrc uint32, seq uint16, n int) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, SSRC: ssrc, PayloadType: 96, CSRC: []uint32{7}}, Payload: bytes.Repeat([]byte{byte(seq)}, n)}
	if err := p.SetExtension(3, []byte("mid")); err != nil {
		t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func compound(t testing.TB, ssrc uint32) []byte {
	t.Helper()
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: ssrc, Reports: []rtcp.ReceptionReport{{SSRC: 1}}}, &rtcp.PictureLossIndication{SenderSSRC: ssrc, MediaSSRC: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func roomy(p []byte) []byte { return append(make([]byte, 0, len(p)+Overhead+MaxMKI), p...) }

// Every suite, with and without an MKI, both ways, over several turns of the sequence numbers.
func TestAgainstAnotherLibrary(t *testing.T) {
	t.Parallel()
	for _, suite := range Suites() {
		for _, mki := range []string{"", "\x00\x01"} {
			t.Run(fmt.Sprintf("%s mki %x", suite, mki), func(t *testing.T) {
				t.Parallel()
				m := NewMaster(suite)
				if mki != "" {
					m.MKI = []byte(mki)
				}
				var st State
				in, err := NewIn(m, &st.In)
				if err != nil {
					t.Fatal(err)
				}
				out, err := NewOut(m, &st.Out)
				if err != nil {
					t.Fatal(err)
				}
				theirIn, theirOut := oracle(t, m), oracle(t, m)
				for i := range 400 {
					seq := uint16(65000 + i*500) // three turns
					want := packet(t, 5, seq, i)
					p, ok := out.RTP(roomy(want))
					if got, err := theirIn.DecryptRTP(nil, p, nil); !ok || err != nil || !bytes.Equal(got, want) {
						t.Fatalf("packet %d: they open %x, %v", i, got, err)
					}
					theirs, err := theirOut.EncryptRTP(nil, want, nil)
					if err != nil {
						t.Fatal(err)
					}
					if got, v := in.RTP(theirs); v != Authentic || !bytes.Equal(got, want) {
						t.Fatalf("packet %d: opened %x, %v", i, got, v)
					}
					want = compound(t, 6)
					p, ok = out.RTCP(roomy(want))
					if got, err := theirIn.DecryptRTCP(nil, p, nil); !ok || err != nil || !bytes.Equal(got, want) {
						t.Fatalf("compound %d: they open %x, %v", i, got, err)
					}
					if theirs, err = theirOut.EncryptRTCP(nil, want, nil); err != nil {
						t.Fatal(err)
					}
					if got, v := in.RTCP(theirs); v != Authentic || !bytes.Equal(got, want) {
						t.Fatalf("compound %d: opened %x, %v", i, got, v)
					}
				}
			})
		}
	}
}
