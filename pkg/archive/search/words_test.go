package search

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWordsAreFoundAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                     nil,
		" ... !":               nil,
		"Hello, hello WORLD":   {"hello", "world"},
		"Café cafe\u0301 CAFÉ": {"cafe"},
		"Straße STRASSE":       {"strasse"},
		"Łódź smørrebrød":      {"lodz", "smorrebrod"},
		"don't":                {"don", "t"},
		"invoice_4711/B":       {"invoice", "4711", "b"},
		"नमस्ते, कैसे हैं?":               {"नमस्ते", "कैसे", "हैं"},
		"हाँ हां":                         {"हां"},
		"क़लम कलम क\u093cलम":              {"कलम"},
		"कक्षा १२३ 123":                   {"कक्षा", "123"},
		"शक्\u200dति शक्ति":               {"शक्ति"},
		"great 👍🏽👍 ❤️":                    {"great", "👍", "❤"},
		"会議 meeting":                      {"会", "議", "meeting"},
		"ﬁle ２０２６":                        {"file", "2026"},
		"\xff\xfe ok":                     {"ok"},
		"\u0301 a":                        {"a"},
		"Ὀδυσσεύς ΟΔΥΣΣΕΥΣ":               {"οδυσσευσ"},
		strings.Repeat("x", 100) + " end": {strings.Repeat("x", maxWord), "end"},
		"مُحَمَّد محمد":                   {"محمد"},
	} {
		if got := Words(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestAskedTellsWordsFromBeginnings(t *testing.T) {
	t.Parallel()
	words, beginnings := Asked("Meeting* tomorrow, बैठ* 👍* *")
	if !slices.Equal(words, []string{"tomorrow"}) || !slices.Equal(beginnings, []string{"meeting", "बैठ", "👍"}) {
		t.Errorf("%q %q", words, beginnings)
	}
}

func TestATextHasBoundedWords(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 3 * MaxWords {
		b.WriteString(" w" + strings.Repeat("z", i%50) + string(rune('a'+i%26)) + string(rune(0x915+i%30)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676)))
	}
	if n := len(Words(b.String())); n != MaxWords {
		t.Errorf("%d words", n)
	}
}

func FuzzWords(f *testing.F) {
	for _, s := range []string{"Hello wörld", "नमस्ते १२३", "👍🏽 会議", "\xff\u0301a*", "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words := Words(text)
		for _, w := range words {
			if w == "" || len(w) > maxWord || !utf8.ValidString(w) || strings.ContainsFunc(w, unicode.IsSpace) || strings.Contains(w, "\x00") {
				t.Errorf("%q: word %q", text, w)
			}
		}
		// What was indexed is found by what is shown: the words of the words are the words.
		if len(words) > 0 && len(words) < MaxWords {
			again := Words(strings.Join(words, " "))
			if !slices.Equal(again, words) {
				t.Errorf("%q: %q, then %q", text, words, again)
			}
		}
	})
}

func BenchmarkWords(b *testing.B) {
	for name, text := range map[string]string{
		"latin": "Please look at invoice 4711 again, the amount is wrong and the café wants its money back",
		"hindi": "नमस्ते, कल की मीटिंग में इनवॉइस ४७११ को फिर से देखते हैं, रकम ग़लत है",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Words(text)
			}
		})
	}
}
