package e2e

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/coraltele/sanchar/pkg/console/api"
	"github.com/coraltele/sanchar/pkg/record"
	"github.com/coraltele/sanchar/pkg/testkit/netlab"
)

// messages asks the log until it has a message that is right.
func (s *scene) messages(query url.Values, right func(record.Message) bool) record.Message {
	s.t.Helper()
	query.Set("content", "true")
	query.Set("reason", "a test")
	a := s.box.API(s.hosts["alice"])
	var page api.RecordList[record.Message]
	for end := time.Now().Add(netlab.Patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		a.Get("/messages?"+query.Encode(), &page)
		if i := slices.IndexFunc(page.Records, right); i >= 0 {
			return page.Records[i]
		}
	}
	s.t.Fatalf("%v: %+v", query, page.Records)
	return record.Message{}
}

// What phones write to each other is found by its words, with the time that it was delivered at the
// device, and stands in their conversation.
func TestMessagesAreInTheLog(t *testing.T) {
	t.Parallel()
	s := open(t, "alice", "bob")
	alice, bob := s.phone("alice", "udp"), s.phone("bob", "tls")
	mark := bob.Mark()
	alice.Write(bob.AoR(), namaste)
	bob.Reads(mark, namaste)
	m := s.messages(url.Values{"words": {"नमस्ते कैस* 👋"}}, func(m record.Message) bool {
		return m.Status == record.MessageDelivered && len(m.Deliveries) == 1 && !m.Deliveries[0].Delivered.IsZero()
	})
	if m.Text != namaste || m.Sender.User != "alice" || m.Recipient.User != "bob" || m.Deliveries[0].User != "bob" || m.Deliveries[0].Device.Transport != "tls" {
		t.Errorf("%+v", m)
	}
	receipt := s.messages(url.Values{"refers": {m.ID}, "type": {record.MessageNotification}}, func(record.Message) bool { return true })
	if receipt.Notice != record.MessageDelivered || receipt.Sender.User != "bob" {
		t.Errorf("%+v", receipt)
	}
	a := s.box.API(s.hosts["alice"])
	var threads api.ThreadList
	a.Get("/threads?user=bob", &threads)
	if len(threads.Threads) != 1 || threads.Threads[0].Count != 1 || threads.Threads[0].Latest.Text != "" {
		t.Fatalf("%+v", threads)
	}
	var part api.ThreadPart
	a.Get("/threads/"+url.PathEscape(threads.Threads[0].ID)+"?content=true&reason=a+test", &part)
	if len(part.Messages) != 1 || part.Messages[0].Text != namaste {
		t.Errorf("%+v", part)
	}
	var bare api.RecordList[record.Message]
	a.Get("/messages", &bare)
	if len(bare.Records) != 2 || bare.Records[0].Text != "" || bare.Records[1].Content != nil {
		t.Errorf("%+v", bare)
	}
}
