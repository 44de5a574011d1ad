package layers

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	citation = regexp.MustCompile(`\bRFC (\d{3,5})\b`)
	row      = regexp.MustCompile(`(?m)^\| (\d{3,5}) \| [^|]+ \| (yes|partial|no|not planned) \|[^|]*\|$`)
	anyRow   = regexp.MustCompile(`(?m)^\| \d.*$`)
)

// The table of protocols and the citations in the code keep each other true: what the code cites
// has a row, what a row calls done is cited.
func TestProtocolTableAndCodeAgree(t *testing.T) {
	table, err := os.ReadFile("../../appliance/docs/protocols.md")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	rows := row.FindAllStringSubmatch(string(table), -1)
	for _, m := range rows {
		if status[m[1]] != "" {
			t.Errorf("RFC %s has two rows", m[1])
		}
		status[m[1]] = m[2]
	}
	if n := len(anyRow.FindAllString(string(table), -1)); n != len(rows) {
		t.Errorf("%d rows are not of the form | number | title | yes, partial, no or not planned | note |", n-len(rows))
	}
	if !slices.IsSortedFunc(rows, func(a, b []string) int { return len(a[1])*1e6 + cmp(a[1]) - len(b[1])*1e6 - cmp(b[1]) }) {
		t.Error("the rows are not in the order of their numbers")
	}
	cited := map[string]bool{}
	for _, f := range sources(t) {
		if strings.HasPrefix(f.dir, "pkg/testkit") || strings.HasPrefix(f.dir, "appliance/bench") { // not the box
			continue
		}
		for _, group := range f.file.Comments {
			for _, m := range citation.FindAllStringSubmatch(group.Text(), -1) {
				if cited[m[1]] = true; status[m[1]] == "" {
					t.Errorf("%s: RFC %s has no row in protocols.md", f.at(group), m[1])
				}
			}
		}
	}
	for rfc, s := range status {
		if s == "yes" && !cited[rfc] {
			t.Errorf("RFC %s is called done, but no code cites it", rfc)
		}
	}
}

func cmp(number string) (n int) {
	for _, c := range number {
		n = n*10 + int(c-'0')
	}
	return n
}
