package acl

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
)

// Digest is the form in which a password is kept: its SHA-256, in hexadecimal digits.
func Digest(password []byte) string {
	sum := sha256.Sum256(password)
	return hex.EncodeToString(sum[:])
}

// IsDigest reports whether a text is a digest as Redis wants it.
func IsDigest(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == 2*sha256.Size
}

// Takes reports whether a digest is that of one of the user's passwords. How long it takes does not depend on which, or how much of it
// is right.
func (u *User) Takes(digest string) bool {
	is := 0
	for _, p := range u.passwords {
		is |= subtle.ConstantTimeCompare([]byte(p), []byte(digest))
	}
	return is == 1
}

func (u *User) addPassword(digest string) {
	if !slices.Contains(u.passwords, digest) {
		u.passwords = append(u.passwords, digest)
	}
	u.nopass = false
}

func (u *User) removePassword(digest string) error {
	i := slices.Index(u.passwords, digest)
	if i < 0 {
		return errNoSuchPassword
	}
	u.passwords = slices.Delete(u.passwords, i, i+1)
	return nil
}
