package pn

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for contact, want := range map[string]Params{
		"sip:bob@192.0.2.7:5060;transport=tls;pn-provider=fcm;pn-prid=abc:DEF_123-x;pn-param=project-id;pn-silent=1;pn-timeout=0": {Provider: FCM, PRID: "abc:DEF_123-x", Param: "project-id", Silent: true},
		"sip:bob@h;pn-provider=apns;pn-prid=aa%3Aremote&bb%3Avoip;pn-param=TEAM.com.example.app.remote&voip;pn-msg-str=IM_MSG;pn-call-str=IC_MSG;pn-groupchat-str=GC_MSG;pn-call-snd=ring.caf;pn-msg-snd=msg.caf": {
			Provider: APNS, PRID: "aa:remote&bb:voip", Param: "TEAM.com.example.app.remote&voip", MessageText: "IM_MSG", CallText: "IC_MSG", GroupText: "GC_MSG", CallSound: "ring.caf", MessageSound: "msg.caf",
		},
		"sip:bob@h;app-id=1234567;pn-type=firebase;pn-tok=abc":                     {Provider: FCM, PRID: "abc", Param: "1234567"},
		"sip:bob@h;app-id=com.example.app.voip.dev;pn-type=apple;pn-tok=aa":        {Provider: APNSDev, PRID: "aa", Param: ".com.example.app.voip"},
		"sip:bob@h;app-id=com.example.app.prod;pn-type=apple;pn-tok=aa":            {Provider: APNS, PRID: "aa", Param: ".com.example.app.remote"},
		"sip:bob@h;pn-provider=acme;pn-prid=x":                                     {Provider: "acme", PRID: "x"},
		"sip:bob@h;transport=tcp":                                                  {},
		"sip:bob@h;pn-provider=fcm":                                                {},
		"sip:bob@h;pn-type=wp;app-id=x;pn-tok=y":                                   {},
		"sip:bob@h;pn-provider=fcm;pn-prid=a%0d%0ab":                               {},
		"sip:bob@h;pn-provider=fcm;pn-prid=" + strings.Repeat("x", maxToken+1):     {},
		"sip:bob@h;pn-provider=fcm;pn-prid=x;pn-param=" + strings.Repeat("x", 300): {},
		"not a uri": {},
	} {
		got, ok := Of(contact)
		if ok != (want.Provider != "") || (ok && got != want) {
			t.Errorf("%s\n%+v %v, want\n%+v", contact, got, ok, want)
		}
	}
}

func TestAppleHasATokenAndATopicForEachUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		contact, token, topic, callToken, callTopic string
	}{
		{"sip:b@h;pn-provider=apns;pn-prid=aa:remote&bb:voip;pn-param=T.com.example.app.remote&voip", "aa", "com.example.app", "bb", "com.example.app.voip"},
		{"sip:b@h;pn-provider=apns;pn-prid=aa:remote;pn-param=T.com.example.app.remote", "aa", "com.example.app", "", ""},
		{"sip:b@h;pn-provider=apns;pn-prid=aa;pn-param=T.com.example.app.voip", "aa", "", "aa", "com.example.app.voip"},
		{"sip:b@h;pn-type=apple;app-id=com.example.app.voip.prod;pn-tok=aa", "aa", "", "aa", "com.example.app.voip"},
		{"sip:b@h;pn-provider=apns;pn-prid=aa;pn-param=rubbish", "aa", "", "aa", ""},
		{"sip:b@h;pn-provider=fcm;pn-prid=aa:bb&cc;pn-param=p", "aa:bb&cc", "", "aa:bb&cc", ""},
	} {
		p, ok := Of(c.contact)
		if !ok {
			t.Fatal(c.contact)
		}
		token, _ := p.Token(Message)
		topic, _ := p.Topic(Message)
		callToken, _ := p.Token(Call)
		callTopic, _ := p.Topic(Call)
		if token != c.token || topic != c.topic || callToken != c.callToken || callTopic != c.callTopic {
			t.Errorf("%s: %q %q %q %q", c.contact, token, topic, callToken, callTopic)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("sip:bob@h;pn-provider=apns;pn-prid=aa%3Aremote&bb%3Avoip;pn-param=T.com.example.app.remote&voip")
	f.Add("sip:bob@h;app-id=com.example.app.voip.dev;pn-type=apple;pn-tok=aa")
	f.Fuzz(func(t *testing.T, contact string) {
		p, ok := Of(contact)
		if !ok {
			return
		}
		for _, use := range []Use{Message, Call} {
			token, _ := p.Token(use)
			topic, _ := p.Topic(use)
			if strings.ContainsAny(token+topic, "\r\n \x00") || len(token) > maxToken {
				t.Errorf("%q: %q %q", contact, token, topic)
			}
		}
	})
}
