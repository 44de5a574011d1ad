package auth

import (
	"slices"
	"strings"
	"unicode"
)

const (
	minDistinct = 5 // different characters
	minRuns     = 4 // pieces that do not follow from the one before
	minLetters  = 5 // letters left when every common word is taken out
)

// trivial says why a password is among the first that anybody would try, or "".
func trivial(password string, about []string) string {
	lower := []rune(strings.ToLower(password))
	distinct := map[rune]bool{}
	for _, r := range lower {
		distinct[r] = true
	}
	switch {
	case len(distinct) < minDistinct:
		return "few different characters"
	case repeats(lower):
		return "it repeats itself"
	case runs(lower) < minRuns:
		return "characters in a row"
	case onlyWords(string(lower), about):
		return "a common word, or one about this box, with digits"
	}
	return ""
}

func repeats(pw []rune) bool {
	for unit := 1; unit <= len(pw)/2; unit++ {
		same := true
		for i := unit; i < len(pw) && same; i++ {
			same = pw[i] == pw[i-unit]
		}
		if same {
			return true
		}
	}
	return false
}

// runs counts the pieces in which each character follows from the one before: the same, the next
// or the one before in the alphabet, or a neighbour on the keyboard.
func runs(pw []rune) int {
	n := 1
	for i := 1; i < len(pw); i++ {
		if d := pw[i] - pw[i-1]; d < -1 || d > 1 {
			if !neighbours(pw[i-1], pw[i]) {
				n++
			}
		}
	}
	return n
}

func neighbours(a, b rune) bool {
	for _, row := range []string{"1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"} {
		i, j := strings.IndexRune(row, a), strings.IndexRune(row, b)
		if i >= 0 && j >= 0 && (i-j == 1 || j-i == 1) {
			return true
		}
	}
	return false
}

// onlyWords reports whether little is left of a password without common words, digits and signs.
func onlyWords(pw string, about []string) bool {
	plain := strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "@", "a", "$", "s", "!", "i").Replace(pw)
	words := []string{
		"password", "passwort", "passwd", "pass", "admin", "administrator", "root", "owner", "user", "login", "welcome", "letmein",
		"qwerty", "secret", "default", "change", "changeme", "please", "test", "guest", "master", "monkey", "dragon", "iloveyou",
		"india", "coral", "telecom", "coraltele", "sanchar", "pbx", "sip", "phone", "box",
	}
	for _, a := range about {
		for word := range strings.FieldsFuncSeq(strings.ToLower(a), func(r rune) bool { return !unicode.IsLetter(r) }) {
			if len(word) > 2 {
				words = append(words, word)
			}
		}
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) })
	return lettersLeft(pw, words) < minLetters || lettersLeft(plain, words) < minLetters
}

func lettersLeft(pw string, words []string) (n int) {
	for _, w := range words {
		pw = strings.ReplaceAll(pw, w, " ")
	}
	for _, r := range pw {
		if unicode.IsLetter(r) {
			n++
		}
	}
	return n
}
