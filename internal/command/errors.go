package command

import (
	"bytes"
	"strings"

	"ringway/resp"
)

// The sentences a client gets for a request that can't be understood, in Redis's own words and without the
// leading '-'. They hold what the client sent, so an encoder must take out CR and LF, as resp.AppendError does.

// UnknownCommand is the error for the request a, whose command Lookup doesn't know. Names and arguments are
// cut at 128 bytes, each argument also at its first zero byte.
func UnknownCommand(a *resp.Args) string {
	const limit = 128
	var args []byte
	for i := 1; i < a.Len() && len(args) < limit; i++ {
		args = append(args, '\'')
		args = append(args, printable(a.At(i), limit-len(args)+1)...)
		args = append(args, "' "...)
	}
	return oneLine("ERR unknown command '" + string(printable(a.At(0), limit)) +
		"', with args beginning with: " + string(args))
}

// UnknownSubcommand is the error for the request a, whose command is the container c and whose subcommand
// isn't known.
func UnknownSubcommand(c *Command, a *resp.Args) string {
	return oneLine("ERR unknown subcommand '" + string(printable(a.At(1), 128)) + "'. Try " +
		strings.ToUpper(c.Name) + " HELP.")
}

// WrongArity is the error for a request that has too few or too many arguments for c.
func WrongArity(c *Command) string {
	return "ERR wrong number of arguments for '" + c.Name + "' command"
}

// Resolve finds the command of the request a, the subcommand if it is a container's, and checks its arity. If
// c is nil, sentence is the error for the client.
func Resolve(a *resp.Args) (c *Command, sentence string) {
	c = Lookup(a.At(0))
	if c == nil {
		return nil, UnknownCommand(a)
	}
	if c.Container() && a.Len() > 1 {
		sub := c.Sub(a.At(1))
		if sub == nil {
			return nil, UnknownSubcommand(c, a)
		}
		c = sub
	}
	if !c.CheckArity(a.Len()) {
		return nil, WrongArity(c)
	}
	return c, ""
}

// printable is what C's %.*s prints: up to limit bytes, and nothing behind a zero byte.
func printable(b []byte, limit int) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b[:min(len(b), limit)]
}

var newlines = strings.NewReplacer("\r", " ", "\n", " ")

func oneLine(s string) string { return newlines.Replace(s) }

// The errors of COMMAND's own subcommands.
const (
	errNoSuchCommand = "ERR Invalid command specified"
	errNoKeys        = "ERR The command has no key arguments"
	errArgumentCount = "ERR Invalid number of arguments specified for command"
	errSyntax        = "ERR syntax error"
)
