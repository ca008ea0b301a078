package deploy

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// What servers on Windows are asked and told by Windows PowerShell. Its answers
// are the names of an enumeration, which no language of the system translates.

// powerShell runs a script and returns what it prints. The scripts hold nothing
// secret: they are arguments.
func powerShell(ctx context.Context, machine transport.Transport, script string) (string, error) {
	encoded := base64.StdEncoding.EncodeToString(utf16le("$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'\n" + script))
	argv := []string{"powershell.exe", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded}
	out, err := machine.Run(ctx, argv, nil)
	if err == nil {
		err = transport.ExitError(argv[:1], out)
	}
	return strings.TrimSpace(out.Text), err
}

// quotedFor writes a text as PowerShell has it between single quotes, which take
// nothing in it for their own but themselves, in each of their shapes.
func quotedFor(text string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(text) + "'"
}

// serviceRuns asks the service control manager.
func serviceRuns(ctx context.Context, machine transport.Transport, service string) (bool, error) {
	said, err := powerShell(ctx, machine, "[Console]::Out.Write([string](Get-Service -Name "+quotedFor(service)+").Status)")
	if err != nil {
		return false, fmt.Errorf("ask for the service %s: %w", service, err)
	}
	return said == "Running", nil
}

func startService(ctx context.Context, machine transport.Transport, service string) error {
	if _, err := powerShell(ctx, machine, "Start-Service -Name "+quotedFor(service)); err != nil {
		return fmt.Errorf("start the service %s: %w", service, err)
	}
	return nil
}

// processRuns asks whether a process of one of the names has the number.
func processRuns(ctx context.Context, machine transport.Transport, pid string, names []string) (bool, error) {
	said, err := powerShell(ctx, machine, "$p=Get-Process -Id "+pid+" -ErrorAction SilentlyContinue\nif($p){[Console]::Out.Write($p.ProcessName)}")
	if err != nil {
		return false, fmt.Errorf("ask for the process %s: %w", pid, err)
	}
	return slices.Contains(names, strings.ToLower(said)), nil
}

// startProcess starts a program that goes on when the connection ends: one that
// was started in it would end with it.
func startProcess(ctx context.Context, machine transport.Transport, argv []string, directory string) error {
	var words []string
	for _, word := range argv {
		if strings.ContainsAny(word, "\"") {
			return fmt.Errorf("start %s: %w: there is a quote in %s", argv[0], ErrPath, word)
		}
		if plain, ok := strings.CutSuffix(word, `\`); ok {
			word = plain + "/" // it would quote the quote
		}
		words = append(words, `"`+word+`"`)
	}
	said, err := powerShell(ctx, machine, "$r=Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{CommandLine="+
		quotedFor(strings.Join(words, " "))+";CurrentDirectory="+quotedFor(directory)+"}\n[Console]::Out.Write([string]$r.ReturnValue)")
	if err == nil && said != "0" {
		err = fmt.Errorf("Win32_Process.Create returns %q", said)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	return nil
}
