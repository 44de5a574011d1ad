package page

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/record"
)

const thread = "asha.rao vikram"

func asha() record.Party {
	return record.Party{AoR: "sip:asha.rao@" + domain, User: "asha.rao", Number: "201", Name: "Asha Rao"}
}

func vikram() record.Party {
	return record.Party{AoR: "sip:vikram@" + domain, User: "vikram", Number: "202", Name: "Vikram Seth"}
}

// messageRecord is a message of Asha to Vikram that was read on one of his devices, or one back.
func messageRecord(ago time.Duration, back bool, text string) record.Message {
	at := time.Now().Add(-ago).UTC()
	id := ids.Record(at)
	m := record.Message{
		ID: id, Type: record.MessageContent, MessageID: "mid-" + id, CallID: "call-" + id, Thread: thread, Sender: asha(), Recipient: vikram(), At: at,
		From:        record.Device{UserAgent: "LinphoneAndroid/5.2.5 (Pixel 8)", Source: netip.MustParseAddrPort("192.0.2.77:40112"), Transport: "tls"},
		ContentType: "text/plain;charset=UTF-8", Content: []byte(text), Text: text, Status: record.MessageDisplayed,
		Deliveries: []record.Delivery{
			{User: "vikram", Device: record.Device{UserAgent: "Linphone Desktop", Instance: "urn:uuid:1"}, Status: record.MessageDisplayed, Sent: at, Delivered: at.Add(time.Second), Displayed: at.Add(time.Minute)},
			{User: "vikram", Device: record.Device{UserAgent: "LinphoneiOS", Instance: "urn:uuid:2"}, Status: record.MessageFailed, Failed: at.Add(time.Minute), Code: 480, Tries: 3},
		},
	}
	if back {
		m.Sender, m.Recipient = m.Recipient, m.Sender
	}
	return m
}

func (b *box) storeMessages(all ...record.Message) {
	b.t.Helper()
	for _, m := range all {
		b.store(record.KindMessage, m.ID, m)
	}
}

// talk is a conversation with everything that can be in one.
func (b *box) talk() (first record.Message) {
	b.t.Helper()
	first = messageRecord(26*time.Hour, false, "Invoice 4711 is wrong, please look")
	answer := messageRecord(50*time.Minute, true, "नमस्ते Asha, कल की मीटिंग में देखते हैं 🙏")
	answer.Reply = first.MessageID
	file := messageRecord(45*time.Minute, false, "")
	file.ContentType, file.Content, file.Status = "application/vnd.gsma.rcs-ft-http+xml", []byte("<file/>"), record.MessageDelivered
	file.Files = []record.File{{Name: "invoice-4711.pdf", ContentType: "application/pdf", Size: 1_234_567, URL: "https://box:8443/files/0123456789abcdefghjkmnpqrstvwxyz"}}
	edit := messageRecord(40*time.Minute, false, "Invoice 4712 is wrong, please look")
	edit.Replaces, edit.Status = first.MessageID, record.MessageSent
	like := messageRecord(35*time.Minute, true, "👍")
	like.Reply, like.Reaction = first.MessageID, true
	slip := messageRecord(30*time.Minute, true, "I meant the other one")
	slip.Status, slip.Ephemeral = record.MessageFailed, 60
	back := messageRecord(29*time.Minute, true, "")
	back.Retracts, back.Status = slip.MessageID, record.MessageStored
	receipt := messageRecord(28*time.Minute, true, "")
	receipt.Type, receipt.About, receipt.Notice, receipt.Deliveries = record.MessageNotification, first.ID, record.MessageDisplayed, nil
	other := messageRecord(3*time.Hour, false, "Something else")
	other.Thread, other.Recipient = "asha.rao meera", record.Party{User: "meera", Number: "203", Name: "Meera Nair"}
	b.storeMessages(first, answer, file, edit, like, slip, back, receipt, other)
	return first
}

// TestMessagesAreReadForAReason looks for a message by its words and reads the conversation.
func TestMessagesAreReadForAReason(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			b.talk()
			v := signedIn(t, b, l, "/logs/messages")
			v.messagesHidden()
			v.messagesRead()
			v.messageFound()
			v.conversation()
			v.readingInAudit()
		})
	}
}

func (v *visitor) messagesHidden() {
	v.t.Helper()
	v.heading(v.text("log.messages.title"))
	v.see(v.text("log.shown.all", "n", "9"), v.text("reading.closed"), v.text("message.hidden", "type", "text/plain"))
	if evaluate[bool](v, seen("Invoice")) {
		v.t.Error("what messages say is shown without a reason")
	}
	v.check("messages-hidden")
	v.press(v.text("act.export.csv"))
	if text := v.download("messages-*.csv"); strings.Contains(text, "Invoice") || strings.Count(text, "\n") != 10 {
		v.t.Errorf("exported: %s", text)
	}
}

func (v *visitor) messagesRead() {
	v.t.Helper()
	v.press(v.text("reading.show"))
	v.see(v.text("reading.text", "name", owner))
	v.press(v.text("reading.begin"))
	v.await("document.querySelector('dialog input[aria-invalid=true]') !== null", "a refusal without a reason")
	v.check("messages-reason")
	v.fill(v.text("reading.reason"), "complaint 17")
	v.press(v.text("reading.begin"))
	v.see(v.text("reading.open", "reason", "complaint 17"), "नमस्ते Asha", "invoice-4711.pdf", v.text("notice.displayed"))
	v.check("messages-read")
}

func (v *visitor) messageFound() {
	v.t.Helper()
	v.fill(v.text("filter.words"), "मीटिंग ASHA")
	v.key(kb.Enter)
	v.see(v.text("log.shown.all", "n", "1"))
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see(v.text("message.devices"), "Linphone Desktop", "LinphoneiOS", v.text("message.tries"))
	v.check("message")
	v.press(v.text("message.thread"))
}

func (v *visitor) conversation() {
	v.t.Helper()
	v.heading("Asha Rao · Vikram Seth")
	v.see("Invoice 4711 is wrong", v.text("message.edited"), v.text("message.retracted"), v.text("message.answers"), "🙏",
		v.text("message.ephemeral.text", "n", "60"))
	if n := evaluate[int](v, "document.querySelectorAll('li.bubble').length"); n != 7 {
		v.t.Errorf("%d bubbles", n)
	}
	if n := evaluate[int](v, "document.querySelectorAll('li.bubble.right').length"); n != 4 {
		v.t.Errorf("%d of Vikram", n)
	}
	v.check("thread")
	evaluate[bool](v, "(document.querySelector('li.bubble summary').click(), true)")
	v.see("Linphone Desktop")
	evaluate[bool](v, "(scrollTo(0, 0), true)")
	v.check("thread-devices")
	v.b.storeMessages(messageRecord(0, true, "a new one"))
	v.press(v.text("thread.fresh", "n", "1"))
	v.see("a new one")
	v.press(v.text("reading.hide"))
	v.see(v.text("reading.closed"))
	v.gone("a new one")
	v.press(v.text("thread.all"))
	v.heading(v.text("log.threads.title"))
	v.see("Vikram Seth", "Meera Nair", "8")
	v.check("threads")
	v.fill(v.text("thread.user"), "meera")
	v.gone("Vikram Seth")
	v.fill(v.text("thread.user"), "nobody")
	v.see(v.text("thread.none.user"))
}

func (v *visitor) readingInAudit() {
	v.t.Helper()
	v.press(v.text("log.audit"))
	v.see(v.text("did.messagesread"), v.text("did.threadread"), v.text("did.messageexport"))
	v.choose(v.text("audit.act"), "thread.read")
	v.see(v.text("log.shown.all", "n", "2"))
	v.press(evaluate[string](v, "document.querySelector('tbody .open').textContent.replace(/\\s+/g, ' ').trim()"))
	v.see("reason=complaint 17", thread)
}

// TestWordsAreLookedForWithAReasonOnly opens a link to a search, by keys alone.
func TestWordsAreLookedForWithAReasonOnly(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	b.talk()
	v := signedIn(t, b, desktop(), "/logs/messages?words=invoice&when=all")
	v.has(v.text("reading.reason"))
	v.key(kb.Escape)
	v.see(v.text("log.shown.all", "n", "9"))
	v.key("/")
	v.has(v.text("filter.words"))
	v.key("invoice 471*" + kb.Enter)
	v.has(v.text("reading.reason"))
	v.key("complaint 18" + kb.Enter)
	v.see(v.text("log.shown.all", "n", "3"), "Invoice 4712")
	v.tabTo(v.text("act.export.json"))
	v.key(kb.Enter)
	if text := v.download("messages-*.json"); strings.Count(text, "\n") != 3 || !strings.Contains(text, "4712") {
		t.Errorf("exported: %s", text)
	}
	growing := messageRecord(time.Minute, false, "Invoice 4719")
	growing.Status = record.MessageStored
	b.storeMessages(growing)
	v.press(v.text("log.fresh", "n", "1"))
	row := "document.querySelector('tbody tr').innerText.includes(" + quote(v.text("message.stored")) + ")"
	v.see("Invoice 4719")
	v.await(row, "that it waits")
	growing.Status = record.MessageDelivered
	b.storeMessages(growing)
	v.await("!"+row, "that it waits no more")
	v.see("Invoice 4719")
}

// TestWhatIsKeptIsChosen changes the site's policy, with a slip on the way.
func TestWhatIsKeptIsChosen(t *testing.T) {
	t.Parallel()
	b := startBox(t)
	b.setUp()
	v := signedIn(t, b, phone(), "/account")
	v.expect("status of 422")
	v.fill(v.text("policy.days"), "30")
	v.press(v.text("act.save"))
	v.await("document.querySelector('input[name=keep_days][aria-invalid=true]') !== null", "a refusal of 30 days")
	v.check("policy-wrong")
	v.fill(v.text("policy.days"), "200")
	v.choose(v.text("policy.content"), "drop")
	v.press(v.text("act.save"))
	v.see(v.text("policy.less.text", "n", "200"))
	v.check("policy-less")
	v.press(v.text("policy.less.do"))
	v.see(v.text("policy.saved"))
	b.storeMessages(messageRecord(time.Minute, false, "Invoice 4711"))
	v.open("/logs/messages")
	v.see(v.text("message.dropped"))
}
