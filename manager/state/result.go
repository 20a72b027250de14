package state

import (
	"fmt"
)

// Code says what kind of refusal a Rejection is.
type Code uint8

const (
	InvalidArgument    Code = iota + 1 // the command could never be accepted
	NotFound                           // what it names is not there
	AlreadyExists                      // what it would make is there
	FailedPrecondition                 // the state does not allow it now
)

func (c Code) String() string {
	switch c {
	case InvalidArgument:
		return "invalid argument"
	case NotFound:
		return "not found"
	case AlreadyExists:
		return "already exists"
	case FailedPrecondition:
		return "failed precondition"
	}
	return "unknown"
}

// Rejection is why a command was not accepted, in one line for a person.
type Rejection struct {
	Code    Code
	Message string
}

func (r *Rejection) Error() string { return r.Message }

func reject(c Code, format string, args ...any) *Rejection {
	return &Rejection{Code: c, Message: fmt.Sprintf(format, args...)}
}

// invalid makes a rejection of an error of validation.
func invalid(err error) *Rejection {
	if err == nil {
		return nil
	}
	return &Rejection{Code: InvalidArgument, Message: err.Error()}
}

// Result is what came of one command.
type Result struct {
	// Revision of the state after the command.
	Revision uint64
	// Changed is false for a command that was rejected, or that found nothing to do.
	Changed bool
	Err     *Rejection
	// ID of the object that the command made.
	ID string
	// RaftID that AssignRaftID gave.
	RaftID uint64
	// Epoch of the node after OpenSession.
	Epoch uint64
}

// Error returns the rejection as an error, nil when there is none.
func (r Result) Error() error {
	if r.Err == nil {
		return nil
	}
	return r.Err
}
