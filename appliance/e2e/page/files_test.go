package page

import "testing"

// TestFileSettings is an admin who decides what users may send each other, first with a slip.
func TestFileSettings(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/account")
			v.expect("status of 422")
			v.heading(v.text("nav.account"))
			v.fill(v.text("files.days"), "0")
			v.fill(v.text("files.types"), "image/* application/pdf")
			v.await("(document.querySelector('[aria-labelledby=files] [type=submit]').click(), true)", "the button")
			v.await(finder+".field("+quote(v.text("files.days"))+")?.ariaInvalid === 'true'", "the fault beside its field")
			v.check("file-settings")
			v.fill(v.text("files.days"), "7")
			v.press(v.text("files.programs.yes"))
			v.await("(document.querySelector('[aria-labelledby=files] [type=submit]').click(), true)", "the button")
			v.see(v.text("files.saved"))
			v.open("/account")
			v.await(finder+".field("+quote(v.text("files.days"))+")?.value === '7'", "the days that were saved")
			v.await(finder+".field("+quote(v.text("files.types"))+")?.value === 'image/* application/pdf'", "the types that were saved")
		})
	}
}

// TestPushSettings is an admin who names a relay that wakes phones, first with a slip.
func TestPushSettings(t *testing.T) {
	t.Parallel()
	for _, l := range looks() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			b := startBox(t)
			b.setUp()
			v := signedIn(t, b, l, "/account")
			v.expect("status of 422")
			v.heading(v.text("nav.account"))
			v.fill(v.text("push.hook"), "not an address")
			v.await("(document.querySelector('[aria-labelledby=push] [type=submit]').click(), true)", "the button")
			v.await(finder+".field("+quote(v.text("push.hook"))+")?.ariaInvalid === 'true'", "the fault beside its field")
			v.check("push-settings")
			v.fill(v.text("push.hook"), "https://push.example/wake?t=$token")
			v.await("(document.querySelector('[aria-labelledby=push] [type=submit]').click(), true)", "the button")
			v.see(v.text("push.saved"))
			v.open("/account")
			v.await(finder+".field("+quote(v.text("push.hook"))+")?.value === 'https://push.example/wake?t=$token'", "the address that was saved")
		})
	}
}
