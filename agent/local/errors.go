package local

import "fmt"

// Kind says what a caller can do about a refusal.
type Kind uint8

const (
	Invalid  Kind = iota // what was asked can never be
	NotFound             // nothing answers to the reference
	Exists               // the name is taken
	Refused              // not as things are now
)

// Refusal is why a step was not taken; nothing has changed.
type Refusal struct {
	Kind Kind
	Text string // one line: what, why, what to do
}

func (r *Refusal) Error() string { return r.Text }

func refuse(k Kind, format string, args ...any) error {
	return &Refusal{k, fmt.Sprintf(format, args...)}
}

func invalid(err error) error {
	if err == nil {
		return nil
	}
	return &Refusal{Invalid, err.Error()}
}
