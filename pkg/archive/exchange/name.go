package exchange

import (
	"encoding/binary"
	"mime"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coraltele/sanchar/pkg/base/problem"
)

const (
	// maxName is what file systems allow.
	maxName = 255
	// maxType is far more than any content type has.
	maxType = 200
	// harmless is put behind a name by which a file would run when it is opened.
	harmless = ".txt"
)

func errForm(text string) error {
	return problem.New(problem.Invalid, "file.form", text, "send multipart/form-data with one part: name=\"File\"; filename=\"the file's name\"")
}

// fileName reads the name of the file from a part's Content-Disposition (RFC 7578 §4.2).
func fileName(disposition string) (string, error) {
	kind, params, err := mime.ParseMediaType(disposition)
	if err != nil || kind != "form-data" || !strings.EqualFold(params["name"], "File") {
		return "", errForm("the part is not the file")
	}
	name := strings.TrimSpace(strings.Map(dropDirection, params["filename"]))
	switch {
	case !utf8.ValidString(params["filename"]):
		return "", errForm("the name of the file is no UTF-8")
	case name == "" || name == "." || name == "..":
		return "", errForm("the file has no name")
	case len(name) > maxName:
		return "", errForm("the name of the file is too long")
	case strings.ContainsAny(name, `/\`) || strings.ContainsFunc(name, unicode.IsControl):
		return "", errForm("the name of the file is a path, or has control characters")
	}
	return name, nil
}

// dropDirection drops marks that turn the direction of writing: "exe.gpj" would be read "jpg.exe".
func dropDirection(r rune) rune {
	switch {
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return -1
	}
	return r
}

// contentType reads the file's type; it keeps its parameters, by which Linphone knows a voice message.
func contentType(header string) string {
	if _, _, err := mime.ParseMediaType(header); header == "" || err != nil || len(header) > maxType {
		return "application/octet-stream"
	}
	return header
}

// typeAllowed reports whether a content type is one of the patterns, such as image/* or text/plain.
// No pattern is all.
func typeAllowed(patterns []string, header string) bool {
	kind, _, err := mime.ParseMediaType(header)
	if err != nil {
		return len(patterns) == 0
	}
	for _, p := range patterns {
		family, all := strings.CutSuffix(p, "/*")
		if p == kind || (all && strings.HasPrefix(kind, family+"/")) {
			return true
		}
	}
	return len(patterns) == 0
}

// runs reports whether a system runs what has such a name when it is opened.
func runs(name string) bool {
	switch strings.ToLower(strings.TrimRight(path.Ext(strings.TrimRight(name, ". ")), ". ")) {
	case ".exe", ".com", ".scr", ".pif", ".bat", ".cmd", ".msi", ".msp", ".msc", ".cpl", ".dll", ".lnk", ".reg", ".scf", ".url",
		".ps1", ".psm1", ".vb", ".vbs", ".vbe", ".js", ".jse", ".mjs", ".ws", ".wsf", ".wsh", ".hta", ".jar", ".jnlp",
		".sh", ".bash", ".zsh", ".command", ".desktop", ".run", ".appimage", ".py", ".pl", ".rb", ".php", ".phtml", ".cgi", ".asp", ".aspx", ".jsp",
		".htm", ".html", ".xhtml", ".shtml", ".mht", ".svg", ".apk", ".app", ".dmg", ".pkg", ".deb", ".rpm":
		return true
	}
	return false
}

// sniffBytes is what isProgram wants to see of a file.
const sniffBytes = 512

// isProgram reports whether a file that begins so is a program, whatever it is called.
func isProgram(head []byte) bool {
	for _, mark := range []string{
		"\x7fELF", "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe",
		"#!", "dex\n", "L\x00\x00\x00\x01\x14\x02\x00",
	} {
		if strings.HasPrefix(string(head), mark) {
			return true
		}
	}
	// A program of DOS or Windows: its header points to another one, which a text does not.
	const pointer = 0x3c
	if len(head) < pointer+4 || string(head[:2]) != "MZ" {
		return false
	}
	at := binary.LittleEndian.Uint32(head[pointer:])
	return at < 1<<20
}
