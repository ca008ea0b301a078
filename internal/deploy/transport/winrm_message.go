package transport

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The messages of the shell protocol, WS-Management in SOAP 1.2 (DSP0226 and
// MS-WSMV 3.1.4.1). They are written here since a library for them brings
// Kerberos and an XPath interpreter along, 2 MB of them.

const (
	transferURI = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
	shellURI    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
)

// message is one request: what is asked of the resource that shells are, or of
// one shell.
type message struct {
	action  string
	shell   string // number of the shell; empty to create one
	options [][2]string
	body    string // XML
}

const messageForm = `<?xml version="1.0" encoding="utf-8"?>` +
	`<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing"` +
	` xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"` +
	` xmlns:rsp="` + shellURI + `"><env:Header>` +
	`<a:To>%s</a:To>` +
	`<a:ReplyTo><a:Address env:mustUnderstand="true">http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</a:Address></a:ReplyTo>` +
	`<w:MaxEnvelopeSize env:mustUnderstand="true">%d</w:MaxEnvelopeSize>` +
	`<a:MessageID>uuid:%s</a:MessageID>` +
	`<w:Locale env:mustUnderstand="false" xml:lang="en-US"/><p:DataLocale env:mustUnderstand="false" xml:lang="en-US"/>` +
	`<w:OperationTimeout>PT%dS</w:OperationTimeout>` +
	`<w:ResourceURI env:mustUnderstand="true">` + shellURI + `/cmd</w:ResourceURI>` +
	`<a:Action env:mustUnderstand="true">%s</a:Action>%s` +
	`</env:Header><env:Body>%s</env:Body></env:Envelope>`

// to writes the message to a service.
func (m message) to(url string) string {
	var more strings.Builder
	if m.shell != "" {
		more.WriteString(`<w:SelectorSet><w:Selector Name="ShellId">` + escape(m.shell) + `</w:Selector></w:SelectorSet>`)
	}
	if len(m.options) > 0 {
		more.WriteString("<w:OptionSet>")
		for _, option := range m.options {
			more.WriteString(`<w:Option Name="` + option[0] + `">` + option[1] + `</w:Option>`)
		}
		more.WriteString("</w:OptionSet>")
	}
	return fmt.Sprintf(messageForm, escape(url), envelopeSize, newUUID(), int(pollTimeout.Seconds()), m.action, more.String(), m.body)
}

// escape writes text so that XML reads it.
func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // a Buffer takes everything
	return b.String()
}

// newUUID is a random one (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func openShell() message {
	return message{
		action: transferURI + "Create", options: [][2]string{{"WINRS_NOPROFILE", "FALSE"}, {"WINRS_CODEPAGE", "65001"}},
		body: `<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams><rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>`,
	}
}

func deleteShell(shell string) message { return message{action: transferURI + "Delete", shell: shell} }

func execute(shell, line string) message {
	return message{
		action: shellURI + "/Command", shell: shell,
		options: [][2]string{{"WINRS_CONSOLEMODE_STDIN", "TRUE"}, {"WINRS_SKIP_CMD_SHELL", "FALSE"}},
		body:    `<rsp:CommandLine><rsp:Command>` + escape(line) + `</rsp:Command></rsp:CommandLine>`,
	}
}

// sendInput gives a command a part of its input; the last one says so.
func sendInput(shell, command string, part []byte, last bool) message {
	end := ""
	if last {
		end = ` End="true"`
	}
	return message{
		action: shellURI + "/Send", shell: shell,
		body: `<rsp:Send><rsp:Stream Name="stdin" CommandId="` + escape(command) + `"` + end + `>` + base64.StdEncoding.EncodeToString(part) + `</rsp:Stream></rsp:Send>`,
	}
}

func receive(shell, command string) message {
	return message{
		action: shellURI + "/Receive", shell: shell,
		body: `<rsp:Receive><rsp:DesiredStream CommandId="` + escape(command) + `">stdout stderr</rsp:DesiredStream></rsp:Receive>`,
	}
}

func terminate(shell, command string) message {
	return message{
		action: shellURI + "/Signal", shell: shell,
		body: `<rsp:Signal CommandId="` + escape(command) + `"><rsp:Code>` + shellURI + `/signal/terminate</rsp:Code></rsp:Signal>`,
	}
}

// reply is what is read of answers.
type reply struct {
	Action  string `xml:"Header>Action"`
	Shell   string `xml:"Body>Shell>ShellId"`
	Command string `xml:"Body>CommandResponse>CommandId"`
	Streams []struct {
		Name    string `xml:"Name,attr"`
		Content string `xml:",chardata"`
	} `xml:"Body>ReceiveResponse>Stream"`
	State struct {
		State    string `xml:"State,attr"`
		ExitCode int    `xml:"ExitCode"`
	} `xml:"Body>ReceiveResponse>CommandState"`
}

// parseReply reads the answer to an action.
func parseReply(text []byte, action string) (reply, error) {
	var r reply
	if err := xml.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("read the service's answer: %w", err)
	}
	if want := action + "Response"; r.Action != want {
		return r, fmt.Errorf("the service answers with %q, want %q", r.Action, want)
	}
	return r, nil
}

var errNoNumber = errors.New("the service gave it no number")

// write passes on what a command has said, and reports whether it has ended.
func (r reply) write(stdout, stderr io.Writer) (ended bool, err error) {
	for _, stream := range r.Streams {
		content, err := base64.StdEncoding.DecodeString(strings.TrimSpace(stream.Content))
		if err != nil {
			return false, fmt.Errorf("the output of the command: %w", err)
		}
		to := stdout
		if stream.Name == "stderr" {
			to = stderr
		}
		if _, err := to.Write(content); err != nil {
			return false, err
		}
	}
	return strings.HasSuffix(r.State.State, "/CommandState/Done"), nil
}
