package main

import (
	"strings"
	"testing"
)

func TestWordsOfALine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"": "", "  ": "", "status": "status", " net  show\t": "net|show", `users add "a b" 'c"d'`: `users|add|a b|c"d`, `x ""`: "x|", `x "open end`: "x|open end", `a"b c"d`: "ab cd",
	} {
		if got := strings.Join(splitWords(line), "|"); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzSplitWords(f *testing.F) {
	for _, line := range []string{"status", `users add "a b" 'c"d'`, `x ""`, "\t'"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words := splitWords(line)
		if len(words) > len(line) {
			t.Errorf("%d words of %d bytes", len(words), len(line))
		}
		if !strings.ContainsAny(line, `"' 	`) && line != "" && (len(words) != 1 || words[0] != string([]rune(line))) {
			t.Errorf("%q is not one word: %q", line, words)
		}
	})
}
