package config

import (
	"fmt"
	"log/slog"
)

// Secret is a password. However it is printed, logged or marshalled it reads <secret>; Reveal alone gives the text.
// An empty one reads as nothing, so that one can see that it is not set.
type Secret string

const hidden = "<secret>"

// Reveal gives the password itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is what %#v prints.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format answers for every verb. Without it a wrong one, such as %d, would make fmt print the bytes themselves.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		text = s.GoString()
	}
	_, _ = f.Write([]byte(text))
}

// MarshalText serves encoding/json and its like.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML serves yaml.v3, which would otherwise take the string as it is.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue serves slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
