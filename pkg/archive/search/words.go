package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Limits of what is indexed.
const (
	// maxWord cuts what nobody types to find: keys, links.
	maxWord = 64
	// MaxWords is how many different words of one text are found. A text of a hundred pages has
	// fewer; one that was made to fill the disk has more.
	MaxWords = 4096
)

// Words returns the words of a text as they are indexed, each once: without case, accents and
// other marks that people leave out. Each character of scripts without blanks, and each emoji, is
// a word of its own.
func Words(text string) []string {
	var words []string
	seen := map[string]bool{}
	split(text, func(word string, _ rune) bool {
		if !seen[word] {
			seen[word] = true
			words = append(words, word)
		}
		return len(words) < MaxWords
	})
	return words
}

// Asked reads what a person looks for: whole words, and beginnings of words, which end in *.
func Asked(text string) (words, beginnings []string) {
	split(text, func(word string, next rune) bool {
		if next == '*' {
			beginnings = append(beginnings, word)
		} else {
			words = append(words, word)
		}
		return true
	})
	return words, beginnings
}

// split calls use for each word and the character after it, 0 at the end, until it returns false.
func split(text string, use func(word string, next rune) bool) {
	var word strings.Builder
	end := func(next rune) bool {
		if word.Len() == 0 {
			return true
		}
		w := cut(word.String())
		word.Reset()
		return use(w, next)
	}
	decomposed := norm.NFKD.String(strings.ToValidUTF8(text, " "))
	for at, r := range decomposed {
		switch kindOf(r) {
		case partOfWord:
			fold(&word, r)
		case markOfWord:
			if word.Len() > 0 { // a mark begins nothing
				fold(&word, r)
			}
		case dropped:
		case wholeWord:
			next, _ := utf8.DecodeRuneInString(decomposed[at+utf8.RuneLen(r):])
			if next == utf8.RuneError {
				next = 0
			}
			if !end(r) || !use(string(r), next) {
				return
			}
		default:
			if !end(r) {
				return
			}
		}
	}
	end(0)
}

// cut shortens a word that is too long, at a character.
func cut(w string) string {
	if len(w) <= maxWord {
		return w
	}
	at := maxWord
	for !utf8.RuneStart(w[at]) {
		at--
	}
	return w[:at]
}

// runeKind is what a character is to a word.
type runeKind int

const (
	between    runeKind = iota
	partOfWord          // a letter or a digit
	markOfWord          // a vowel sign and the like
	dropped             // what one person writes and another does not
	wholeWord           // a word by itself
)

func kindOf(r rune) runeKind {
	switch {
	case r < utf8.RuneSelf:
		if 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' {
			return partOfWord
		}
		return between
	case unicode.IsMark(r):
		if unicode.Is(optional, r) || unicode.Is(unicode.Inherited, r) {
			return dropped
		}
		return markOfWord
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana), unicode.Is(unicode.So, r):
		return wholeWord
	case unicode.IsLetter(r), unicode.IsNumber(r):
		return partOfWord
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Sk, r) && r >= firstSkinTone: // joiners, soft hyphen
		return dropped
	}
	return between
}

// firstSkinTone begins the five modifiers of emoji.
const firstSkinTone = 0x1f3fb

// optional are marks that change how a word sounds but that many leave out: nuktas of Indian
// scripts, points of Hebrew and Arabic. Marks that all scripts share are optional too.
var optional = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x0591, Hi: 0x05c7, Stride: 1}, // Hebrew
	{Lo: 0x0610, Hi: 0x061a, Stride: 1}, // Arabic
	{Lo: 0x064b, Hi: 0x065f, Stride: 1},
	{Lo: 0x093c, Hi: 0x093c, Stride: 1}, // Devanagari
	{Lo: 0x09bc, Hi: 0x09bc, Stride: 1}, // Bengali
	{Lo: 0x0a3c, Hi: 0x0a3c, Stride: 1}, // Gurmukhi
	{Lo: 0x0abc, Hi: 0x0abc, Stride: 1}, // Gujarati
	{Lo: 0x0b3c, Hi: 0x0b3c, Stride: 1}, // Oriya
	{Lo: 0x0cbc, Hi: 0x0cbc, Stride: 1}, // Kannada
}}

// fold writes a letter as all that are the same to a reader.
func fold(w *strings.Builder, r rune) {
	r = unicode.ToLower(r)
	switch r {
	case 'ß':
		w.WriteString("ss")
	case 'æ':
		w.WriteString("ae")
	case 'œ':
		w.WriteString("oe")
	case 'ø':
		w.WriteByte('o')
	case 'đ':
		w.WriteByte('d')
	case 'ł':
		w.WriteByte('l')
	case 'ı':
		w.WriteByte('i')
	case 'ς':
		w.WriteRune('σ')
	case 'ँ': // candrabindu and anusvara are written for one another
		w.WriteRune('ं')
	default:
		if r >= utf8.RuneSelf && unicode.Is(unicode.Nd, r) {
			r = digit(r)
		}
		w.WriteRune(r)
	}
}

// digit writes a decimal digit of any script as an ASCII one. Unicode has the ten of a script in
// one run, from zero up.
func digit(r rune) rune {
	for _, run := range unicode.Nd.R16 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + (r-rune(run.Lo))%10
		}
	}
	for _, run := range unicode.Nd.R32 {
		if rune(run.Lo) <= r && r <= rune(run.Hi) {
			return '0' + (r-rune(run.Lo))%10
		}
	}
	return r
}
