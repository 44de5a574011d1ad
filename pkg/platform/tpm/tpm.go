// Package tpm keeps one secret of the box sealed by its security chip, a TPM 2.0: the file that it makes
// opens on this box alone.
package tpm

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// Chip is a TPM that answers; it is used by one process at a time.
type Chip = transport.TPM

// ErrOther says that a secret was sealed by another chip, or by this one before it was cleared.
var ErrOther = errors.New("it was sealed by another security chip, or this one was cleared since")

// sessionNonce is the length of our nonces in sessions with the chip (TPM 2.0 Part 1 §17.6.3: at least 16).
const sessionNonce = 16

// parent is the storage root key: the chip derives it from its seed each time, so it is the same until
// somebody clears the chip.
type parent struct {
	chip   Chip
	handle tpm2.TPMHandle
	name   tpm2.TPM2BName
	public tpm2.TPMTPublic
}

func newParent(chip Chip) (*parent, error) {
	rsp, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(chip)
	if err != nil {
		return nil, fmt.Errorf("make the storage root key: %w", err)
	}
	public, err := rsp.OutPublic.Contents()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the storage root key: %w", err), flush(chip, rsp.ObjectHandle))
	}
	return &parent{chip, rsp.ObjectHandle, rsp.Name, *public}, nil
}

func (p *parent) close() error { return flush(p.chip, p.handle) }

// session authorises the use of an object. What goes to or comes from the chip is encrypted, so that a
// probe on its bus hears nothing: the salt is for the chip alone.
func (p *parent) session(way sessionWay) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, sessionNonce, way, tpm2.Salted(p.handle, p.public))
}

type sessionWay = tpm2.AuthOption

func intoChip() sessionWay  { return tpm2.AESEncryption(128, tpm2.EncryptIn) }
func outOfChip() sessionWay { return tpm2.AESEncryption(128, tpm2.EncryptOut) }

func (p *parent) auth(way sessionWay) tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: p.handle, Name: p.name, Auth: p.session(way)}
}

func flush(chip Chip, handle tpm2.TPMHandle) error {
	_, err := tpm2.FlushContext{FlushHandle: handle}.Execute(chip)
	return err
}

// sealedObject holds a secret: it opens on the chip that made it, without a password. It is bound to no PCR:
// an update of the box or of its firmware must not lose the keys.
func sealedObject() tpm2.TPMTPublic {
	return tpm2.TPMTPublic{
		Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
		ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
	}
}

// blob is a sealed secret as it lies on disk.
type blob struct {
	Public  []byte `json:"public"`
	Private []byte `json:"private"` // encrypted by the chip
}

func sealSecret(chip Chip, secret []byte) (b blob, err error) {
	p, err := newParent(chip)
	if err != nil {
		return b, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	rsp, err := tpm2.Create{
		ParentHandle: p.auth(intoChip()),
		InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
			Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: secret}),
		}},
		InPublic: tpm2.New2B(sealedObject()),
	}.Execute(chip)
	if err != nil {
		return b, fmt.Errorf("seal: %w", err)
	}
	return blob{Public: rsp.OutPublic.Bytes(), Private: rsp.OutPrivate.Buffer}, nil
}

func unsealSecret(chip Chip, b blob) (secret []byte, err error) {
	p, err := newParent(chip)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	loaded, err := tpm2.Load{
		ParentHandle: p.auth(intoChip()), InPrivate: tpm2.TPM2BPrivate{Buffer: b.Private}, InPublic: tpm2.BytesAs2B[tpm2.TPMTPublic](b.Public),
	}.Execute(chip)
	if err != nil {
		return nil, fmt.Errorf("load the sealed key: %w", foreign(err))
	}
	defer func() { err = errors.Join(err, flush(chip, loaded.ObjectHandle)) }()
	rsp, err := tpm2.Unseal{
		ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: p.session(outOfChip())},
	}.Execute(chip)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	return rsp.OutData.Buffer, nil
}

// foreign tells an object that this chip did not make (TPM 2.0 Part 3 §12.2: TPM_RC_INTEGRITY) from a
// chip that cannot answer.
func foreign(err error) error {
	if errors.Is(err, tpm2.TPMRCIntegrity) {
		return errors.Join(ErrOther, err)
	}
	return err
}
