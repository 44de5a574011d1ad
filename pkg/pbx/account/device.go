package account

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/coraltele/sanchar/pkg/base/ids"
	"github.com/coraltele/sanchar/pkg/base/problem"
	"github.com/coraltele/sanchar/pkg/platform/ctl"
	"github.com/coraltele/sanchar/pkg/sip/digest"
)

const (
	// maxDevices is more desk phones than one person has.
	maxDevices = 16
	// loginMark stands in no user's name, so that the login of a device is never one.
	loginMark = "~"
	// loginRandom is not secret: it keeps logins of one user apart, also from those that were removed.
	loginRandom = 5 // bytes
)

// device returns the device with a login; nil if there is none.
func (a *Account) device(login string) *Device {
	for i := range a.Devices {
		if a.Devices[i].Login == login {
			return &a.Devices[i]
		}
	}
	return nil
}

// AddDevice gives an account one more secret, for one phone. It is returned this once.
func (d *Directory) AddDevice(id string) (s ctl.DeviceSecret, err error) {
	d.edit.Lock()
	defer d.edit.Unlock()
	old := d.byID[id]
	if old == nil {
		return s, errNoUser(id)
	}
	if len(old.Devices) >= maxDevices {
		return s, problem.New(problem.Full, "user.devices", fmt.Sprintf("%s has %d phones with a secret of their own, the most that one user has", old.Name, maxDevices),
			"remove those that are gone")
	}
	s = ctl.DeviceSecret{Login: old.Name + loginMark + strings.ToLower(ids.Random(loginRandom)), Password: ids.Secret()}
	device := Device{Login: s.Login, Created: now()}
	md5 := digest.HA1(digest.MD5, s.Login, d.domain, s.Password)
	s.HA1 = hex.EncodeToString(md5)
	for alg, ha1 := range map[digest.Algorithm][]byte{digest.MD5: md5, digest.SHA256: digest.HA1(digest.SHA256, s.Login, d.domain, s.Password)} {
		device.Sealed[alg] = d.key.Seal(nil, ha1, ha1Owner(nil, s.Login, d.domain, alg))
	}
	a := *old
	a.Devices = append(slices.Clone(old.Devices), device)
	if err := d.commit([]*Account{&a}, nil); err != nil {
		return ctl.DeviceSecret{}, err
	}
	return s, nil
}

// RemoveDevice ends the secret of a device. One that is not there is no fault: it has ended.
func (d *Directory) RemoveDevice(id, login string) error {
	d.edit.Lock()
	defer d.edit.Unlock()
	old := d.byID[id]
	if old == nil || old.device(login) == nil {
		return nil
	}
	a := *old
	a.Devices = slices.DeleteFunc(slices.Clone(old.Devices), func(x Device) bool { return x.Login == login })
	return d.commit([]*Account{&a}, nil)
}
