package imdn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/sip/cpim"
	"github.com/coraltele/sanchar/pkg/sip/mime"
)

// displayed is what Linphone 5.1.65 sends for a message that was read.
const displayed = `<?xml version="1.0" encoding="UTF-8" standalone="no" ?><imdn xmlns="urn:ietf:params:xml:ns:imdn"><message-id>adMO6FKfqE</message-id><datetime>2026-11-23T10:45:50Z</datetime><display-notification><status><displayed/></status></display-notification></imdn>`

// failed is how Linphone words that it cannot read a message.
const failed = `<imdn xmlns="urn:ietf:params:xml:ns:imdn" xmlns:l="http://www.linphone.org/xsds/imdn.xsd"><message-id>a&amp;b</message-id><datetime>2026-11-23T10:45:50+01:00</datetime><recipient-uri>sip:bob@pbx.test</recipient-uri><delivery-notification><status><error/><l:reason code="488">Unable to decrypt</l:reason></status></delivery-notification></imdn>`

var wrote = time.Date(2026, 11, 23, 10, 45, 50, 0, time.UTC) // of displayed

func TestParse(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]Notification{
		displayed: {MessageID: "adMO6FKfqE", DateTime: wrote, Kind: Display, Status: Displayed},
		failed:    {MessageID: "a&b", DateTime: wrote.Add(-time.Hour), Kind: Delivery, Status: Error, Reason: "Unable to decrypt"},
	} {
		got, err := Parse([]byte(doc))
		if err != nil || got != want {
			t.Errorf("%s read as %+v, %v", doc, got, err)
		}
		if got.Failure() != (doc == failed) {
			t.Errorf("%s is a failure: %v", doc, got.Failure())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		`<imdn/>`, `<other><message-id>a</message-id></other>`, strings.Replace(displayed, "adMO6FKfqE", "", 1),
		strings.Replace(displayed, "adMO6FKfqE", strings.Repeat("a", maxID+1), 1), strings.Replace(displayed, "<displayed/>", "", 1),
	} {
		if _, err := Parse([]byte(doc)); !errors.Is(err, ErrNotification) {
			t.Errorf("%s: error %v", doc, err)
		}
	}
	if _, err := Parse([]byte(`<!DOCTYPE a>` + displayed)); err == nil {
		t.Error("a DTD was read")
	}
}

func TestReadAggregated(t *testing.T) {
	t.Parallel()
	var body strings.Builder
	for i := range 3 {
		fmt.Fprintf(&body, "--x\r\nContent-Type: message/imdn+xml\r\n\r\n%s\r\n", strings.Replace(displayed, "adMO6FKfqE", fmt.Sprint("id", i), 1))
	}
	body.WriteString("--x\r\n\r\na text beside\r\n--x--")
	e := &mime.Entity{Headers: []mime.Header{{Name: "Content-Type", Value: "multipart/mixed;boundary=x"}}, Body: body.String()}
	all, err := Read(e)
	if err != nil || len(all) != 3 || all[2].MessageID != "id2" {
		t.Errorf("read as %+v, %v", all, err)
	}
	text := &mime.Entity{Body: displayed}
	if all, err := Read(text); err != nil || all != nil {
		t.Errorf("a plain text read as %+v, %v", all, err)
	}
}

func TestAsked(t *testing.T) {
	t.Parallel()
	m, err := cpim.Parse("NS: i <urn:ietf:params:imdn>\r\ni.Disposition-Notification: Positive-Delivery, nonsense, display;x=y\r\n\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Asked(m)); got != "[positive-delivery display]" {
		t.Errorf("asked for %s", got)
	}
}

func TestWrapIsReadBack(t *testing.T) {
	t.Parallel()
	n := Notification{MessageID: "<&>", DateTime: wrote, Kind: Delivery, Status: Failed}
	text := string(n.Wrap("sip:bob@pbx.test", "sip:alice@pbx.test", wrote).Append(nil))
	m, err := cpim.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(&m.Content)
	if err != nil || len(got) != 1 || got[0] != n || m.From() != "sip:bob@pbx.test" || !m.DateTime().Equal(wrote) {
		t.Errorf("%s read back as %+v, %v", text, got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(displayed))
	f.Add([]byte(failed))
	f.Fuzz(func(t *testing.T, doc []byte) {
		n, err := Parse(doc)
		if err == nil && (n.MessageID == "" || n.Kind == "" || n.Status == "") {
			t.Fatalf("%q read as %+v", doc, n)
		}
	})
}
