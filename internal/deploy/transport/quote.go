package transport

import (
	"errors"
	"fmt"
	"strings"
)

// errUnquotable says that an argument cannot be passed on.
var errUnquotable = errors.New("an argument with a NUL byte cannot be passed to a command")

// shellLine writes argv as the line a login shell on the far side takes apart
// into exactly these arguments. SSH carries one string for a command
// (RFC 4254 §6.5) and sshd gives it to the user's shell, whatever that is. What
// is written means the same to sh and its relatives, fish and csh: characters
// that one of them reads inside single quotes stand outside, after a backslash.
// Only csh does not take a line break.
func shellLine(argv []string) (string, error) {
	var line strings.Builder
	for i, argument := range argv {
		if strings.ContainsRune(argument, 0) {
			return "", errUnquotable
		}
		if i > 0 {
			line.WriteByte(' ')
		}
		quoteShell(&line, argument)
	}
	return line.String(), nil
}

const (
	plain   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:,+@%"
	escaped = `'\!`
)

func quoteShell(line *strings.Builder, argument string) {
	if argument != "" && strings.Trim(argument, plain) == "" {
		line.WriteString(argument)
		return
	}
	if argument == "" {
		line.WriteString("''")
	}
	for argument != "" {
		at := strings.IndexAny(argument, escaped)
		if at == 0 {
			line.WriteByte('\\')
			line.WriteByte(argument[0])
			argument = argument[1:]
			continue
		}
		if at < 0 {
			at = len(argument)
		}
		line.WriteByte('\'')
		line.WriteString(argument[:at])
		line.WriteByte('\'')
		argument = argument[at:]
	}
}

// windowsLine writes arguments as the string from which a Windows program takes
// them apart again (the rules of CommandLineToArgvW).
func windowsLine(arguments []string) (string, error) {
	var line strings.Builder
	for i, argument := range arguments {
		if strings.ContainsRune(argument, 0) {
			return "", errUnquotable
		}
		if i > 0 {
			line.WriteByte(' ')
		}
		quoteWindows(&line, argument)
	}
	return line.String(), nil
}

func quoteWindows(line *strings.Builder, argument string) {
	if argument != "" && !strings.ContainsAny(argument, " \t\n\v\"") {
		line.WriteString(argument)
		return
	}
	line.WriteByte('"')
	slashes := 0
	for _, c := range []byte(argument) {
		switch c {
		case '\\':
			slashes++
		case '"': // backslashes before a quote count, so they are doubled
			line.WriteString(strings.Repeat(`\`, slashes+1))
			slashes = 0
		default:
			slashes = 0
		}
		line.WriteByte(c)
	}
	line.WriteString(strings.Repeat(`\`, slashes))
	line.WriteByte('"')
}

// checkBatch refuses arguments that cmd.exe would take for its own: a batch file
// is read by it, whose rules no quoting satisfies.
func checkBatch(argv []string) error {
	program := strings.ToLower(argv[0])
	if !strings.HasSuffix(program, ".bat") && !strings.HasSuffix(program, ".cmd") {
		return nil
	}
	for _, argument := range argv {
		if at := strings.IndexAny(argument, "\"%!^&|<>()\r\n"); at >= 0 {
			return fmt.Errorf("run %s: a batch file cannot be given an argument with the character %q", argv[0], argument[at])
		}
	}
	return nil
}
