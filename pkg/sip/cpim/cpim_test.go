package cpim

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/mime"
)

// reply is what Linphone 5.1.65 sends when a user answers a message.
const reply = "From: <sip:bob@pbx.test>\r\nTo: <sip:alice@pbx.test>\r\nDateTime: 2026-11-23T11:47:12Z\r\n" +
	"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: BxLooie7GSkV\r\n" +
	"NS: linphone <tag:linphone.org,2020:params:groupchat>\r\nlinphone.Replying-To-Message-ID: roHVQN-b2NHQ\r\n" +
	"linphone.Replying-To-Sender: sip:alice@pbx.test\r\nimdn.Disposition-Notification: positive-delivery, negative-delivery, display\r\n" +
	"\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nyes"

// example is of RFC 3862 §5.1, with an object in place of the signed one.
const example = "From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.com>\r\n" +
	"DateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather will be fine today\r\nSubject:;lang=fr beau temps prevu pour aujourd'hui\r\n" +
	"NS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\nRequire: MyFeatures.VitalMessageOption\r\nMyFeatures.VitalMessageOption: Confirmation-requested\r\n" +
	"MyFeatures.WackyMessageOption: Use-silly-font\r\n\r\nContent-type: text/xml; charset=utf-8\r\nContent-ID: <1234567890@foo.com>\r\n\r\n<body/>"

func TestParseReply(t *testing.T) {
	t.Parallel()
	m, err := Parse(reply)
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][2]string{
		"From":      {m.From(), "sip:bob@pbx.test"},
		"id":        {m.Get(IMDN, "Message-ID"), "BxLooie7GSkV"},
		"asked":     {m.Get(IMDN, "Disposition-Notification"), "positive-delivery, negative-delivery, display"},
		"answered":  {m.Get(Linphone, "Replying-To-Message-ID"), "roHVQN-b2NHQ"},
		"content":   {m.Content.Body, "yes"},
		"its type":  {m.Content.Type(), "text/plain"},
		"not there": {m.Get(Core, "Message-ID"), ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, not %q", what, got[0], got[1])
		}
	}
	if want := time.Date(2026, 11, 23, 11, 47, 12, 0, time.UTC); !m.DateTime().Equal(want) {
		t.Errorf("written at %s", m.DateTime())
	}
}

func TestWhatWasReadIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		reply, example, strings.ReplaceAll(reply, "\r\n", "\n"), "From:<sip:a@b>\r\n\r\n\r\n", "\r\n\r\n",
		"From: <sip:a@b>\r\nSubject: \\u0915 \\\\ x\r\n\r\nA: b\r\n  folded\r\n\r\nbody\r\n\r\n",
	} {
		m, err := Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := string(m.Append(nil)); got != text {
			t.Errorf("%q is written again as %q", text, got)
		}
	}
}

func TestExample(t *testing.T) {
	t.Parallel()
	m, err := Parse(example)
	if err != nil {
		t.Fatal(err)
	}
	var french string
	for _, h := range m.Headers {
		if h.Lang == "fr" {
			french = h.Value
		}
	}
	if m.From() != "im:piglet@100akerwood.com" || french != "beau temps prevu pour aujourd'hui" || m.Get("mid:MessageFeatures@id.foo.com", "WackyMessageOption") != "Use-silly-font" {
		t.Errorf("read as %+v", m.Headers)
	}
}

// A second sender, or one that a careless reader would believe, leaves none.
func TestFromIsOneOrNone(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"From: <sip:a@b>\r\nFrom: <sip:c@d>\r\n", "From: <sip:a@b>\r\nfrom: <sip:c@d>\r\n", "NS: <urn:x>\r\nFrom: <sip:a@b>\r\n",
		"NS: x <urn:x>\r\nFrom: <sip:a@b>\r\nx.From: <sip:c@d>\r\n", "To: <sip:a@b>\r\n", "From: sip:a@b\r\n",
	} {
		m, err := Parse(head + "\r\n\r\n")
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		if m.From() != "" {
			t.Errorf("%q is from %q", head, m.From())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"no empty line":     {"From: <sip:a@b>\r\n", ErrHeader},
		"no colon":          {"From\r\n\r\n", ErrHeader},
		"blank name":        {"A b: c\r\n\r\n", ErrHeader},
		"unknown namespace": {"imdn.Message-ID: a\r\n\r\n", ErrSpace},
		"bad namespace":     {"NS: imdn urn:x\r\n\r\n", ErrHeader},
		"control character": {"From: a\x00b\r\n\r\n", ErrHeader},
		"bad escape":        {"Subject: \\u12\r\n\r\n", ErrHeader},
		"many headers":      {strings.Repeat("From: <a>\r\n", maxHeaders+1) + "\r\n\r\n", ErrTooMany},
		"many namespaces":   {strings.Repeat("NS: a <urn:x>\r\n", 1) + namespaces() + "\r\n\r\n", ErrTooMany},
		"content":           {"From: <a>\r\n\r\nno header", mime.ErrHeader},
	} {
		if _, err := Parse(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, wanted %v", name, err, c.want)
		}
	}
}

func namespaces() (text string) {
	for i := range maxSpaces + 1 {
		text += "NS: " + string(rune('b'+i)) + " <urn:x>\r\n"
	}
	return text
}

func TestAddIsReadBack(t *testing.T) {
	t.Parallel()
	m := new(Message)
	m.Add("", Core, "From", "<sip:a@b>")
	m.Add("", Core, "NS", "imdn <"+IMDN+">")
	m.Add("imdn", IMDN, "Message-ID", "a\\b\r\nTo: c")
	m.Content = mime.Entity{Headers: []mime.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: "hi"}
	got, err := Parse(string(m.Append(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Get(IMDN, "Message-ID") != "a\\b\r\nTo: c" || got.From() != "sip:a@b" || got.Content.Body != "hi" || len(got.Headers) != 3 {
		t.Errorf("read back as %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(reply)
	f.Add(example)
	f.Add("NS: x <y>\nx.z: \\t\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		if got := string(m.Append(nil)); got != text {
			t.Fatalf("%q is written again as %q", text, got)
		}
	})
}
