package session

import (
	"errors"
	"fmt"
	"syscall"
)

// Code says what kind of failure an Error is. There are six, a closed set.
type Code string

const (
	Invalid     Code = "invalid"     // the input cannot be right; trying again will not help
	NotFound    Code = "not_found"   // the thing named does not exist, or may not be seen
	Conflict    Code = "conflict"    // the state of things forbids it now
	Forbidden   Code = "forbidden"   // this person or credential may not
	Unavailable Code = "unavailable" // something outside does not answer; trying again may help
	Internal    Code = "internal"    // a defect of ours
)

// Error is the one error type of the product. Message is a sentence for a person: what happened and what to do next.
// Op and Err are for operators. It never holds a credential.
type Error struct {
	Code    Code
	Op      string // the operation, such as "github.Open"
	Message string
	Err     error
}

func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a sentence for a person.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrStorage is in the chain of a Store's error when its disk is full or failing. The store tells its operator, once; whoever else
// gets it need not.
var ErrStorage = errors.New("the disk refuses to store")

// Wrap adds an operation to err, keeping the code and the sentence of the Error inside it, if there is one.
// A nil err stays nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeOf(err), Op: op, Message: inner(err), Err: err}
}

// CodeOf returns the code of the first Error in err's chain, Unavailable for a full disk and else Internal if there is none, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code != "" {
		return e.Code
	}
	if noRoom(err) {
		return Unavailable
	}
	return Internal
}

// noRoom reports whether an error is the computer's word that a disk is full.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// DiskFull is what people are told when there is no room on the bot's disk.
const DiskFull = "The bot's disk is full. Please tell its operator, and try again later."

// Sentence returns what to tell a person about err: the first message in its chain, or a general one that admits a defect.
func Sentence(err error) string {
	if m := inner(err); m != "" {
		return m
	}
	if noRoom(err) {
		return DiskFull
	}
	return "Something went wrong on our side. The operator's log has the details; please try again."
}

func inner(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Message != "" {
			return e.Message
		}
		err = e.Err
	}
	return ""
}
