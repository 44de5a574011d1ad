package page

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// ui is where the page's sources are.
const ui = "../../../pkg/console/web/ui"

// texts are the page's own in one language: the tests look for what people see.
type texts map[string]string

func loadTexts(t *testing.T, lang string) texts {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(ui, "src/lib/i18n", lang+".ts"))
	if err != nil {
		t.Fatal(err)
	}
	all := texts{}
	for _, m := range regexp.MustCompile(`(?m)^  '([a-z0-9.]+)': '(.*)',$`).FindAllStringSubmatch(string(source), -1) {
		all[m[1]] = strings.ReplaceAll(m[2], `\'`, `'`)
	}
	if len(all) < 300 {
		t.Fatalf("only %d texts in %s", len(all), lang)
	}
	return all
}

// text returns a text with its places filled by name and value. Of two forms the number n chooses.
func (v *visitor) text(key string, fill ...string) string {
	v.t.Helper()
	text, ok := v.texts[key]
	if !ok {
		v.t.Fatalf("the page has no text %s", key)
	}
	one, many, forms := strings.Cut(text, " | ")
	for i := 0; i < len(fill); i += 2 {
		if n, err := strconv.Atoi(fill[i+1]); fill[i] == "n" && forms && err == nil {
			text = many
			if n == 1 || (n == 0 && v.look.lang == "hi") {
				text = one
			}
		}
	}
	for i := 0; i < len(fill); i += 2 {
		text = strings.ReplaceAll(text, "{"+fill[i]+"}", fill[i+1])
	}
	return text
}
