package chat

import (
	"github.com/coraltele/sanchar/pkg/pbx/chat/inbox"
	"github.com/coraltele/sanchar/pkg/pbx/registrar"
	"github.com/coraltele/sanchar/pkg/sip/aor"
)

// deviceKey names a device for good: by its instance, or, where it has none, by what stays the same of
// its contact when it connects anew.
func deviceKey(b *registrar.Binding) string {
	if b.Instance != "" {
		return b.Instance
	}
	u, err := aor.Parse(b.Contact)
	if err != nil {
		return "contact " + b.Contact
	}
	return "contact " + u.User + "@" + u.Host + " " + b.UserAgent
}

func deviceOf(b *registrar.Binding) inbox.Device {
	return inbox.Device{
		Key: deviceKey(b), Instance: b.Instance, Contact: b.Contact, UserAgent: b.UserAgent, Source: b.Remote, Transport: b.Transport.Param(),
	}
}
