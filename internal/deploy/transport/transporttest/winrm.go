//go:build unix

package transporttest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// WinRM is a fake of the WinRM service: the WS-Management shell protocol
// (MS-WSMV) over HTTPS, with basic authentication or NTLM. It keeps to the size
// of an envelope and to the time for which it may wait for output, and answers
// faults as Windows does.
type WinRM struct {
	Address        string
	CABundle       []byte
	User, Password string
	Root           string // stands for drive C
	Programs       Programs

	ntlm     bool
	requests atomic.Int64
	mu       sync.Mutex
	shells   map[string]map[string]*process
	lines    []string // command lines, as a list of processes would show them
	hook     func(action string) bool
}

// maxEnvelope is the largest request that the fake takes, in bytes.
const maxEnvelope = 153600

// StartWinRM starts a service that takes one user. With ntlm it offers nothing
// else.
func StartWinRM(t testing.TB, ntlm bool) *WinRM {
	t.Helper()
	w := &WinRM{User: "Administrator", Password: "pass-" + draw(t), Root: t.TempDir(), ntlm: ntlm, shells: map[string]map[string]*process{}}
	var handler http.Handler = http.HandlerFunc(w.serve)
	if ntlm {
		handler = requireNTLM(w.User, w.Password, handler)
	} else {
		handler = w.requireBasic(handler)
	}
	server := httptest.NewUnstartedServer(handler)
	if ntlm {
		server.Config.ConnContext = ntlmContext
	}
	server.StartTLS()
	t.Cleanup(func() {
		server.Close()
		w.Forget()
	})
	w.Address = server.Listener.Addr().String()
	w.CABundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return w
}

func draw(t testing.TB) string {
	t.Helper()
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(random)
}

// On has a function look at the action of each request; when it returns false
// the connection is cut.
func (w *WinRM) On(hook func(action string) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// Forget ends all shells, as a restart of the service does.
func (w *WinRM) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, shell := range w.shells {
		for _, p := range shell {
			p.kill()
		}
		delete(w.shells, id)
	}
}

// Shells counts those that are open.
func (w *WinRM) Shells() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.shells)
}

// CommandLines are those of all commands so far.
func (w *WinRM) CommandLines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

func (w *WinRM) requireBasic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		user, password, _ := request.BasicAuth()
		if user != w.User || password != w.Password {
			response.Header().Set("Www-Authenticate", `Basic realm="WSMAN"`)
			response.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(response, request)
	})
}

// envelope is what is read of a request.
type envelope struct {
	Action    string `xml:"Header>Action"`
	Timeout   string `xml:"Header>OperationTimeout"`
	Selectors []struct {
		Name  string `xml:"Name,attr"`
		Value string `xml:",chardata"`
	} `xml:"Header>SelectorSet>Selector"`
	Command string `xml:"Body>CommandLine>Command"`
	Stream  struct {
		ID      string `xml:"CommandId,attr"`
		End     string `xml:"End,attr"`
		Content string `xml:",chardata"`
	} `xml:"Body>Send>Stream"`
	Desired struct {
		ID string `xml:"CommandId,attr"`
	} `xml:"Body>Receive>DesiredStream"`
	Signal struct {
		ID   string `xml:"CommandId,attr"`
		Code string `xml:"Code"`
	} `xml:"Body>Signal"`
}

func (e envelope) shell() string {
	for _, s := range e.Selectors {
		if s.Name == "ShellId" {
			return s.Value
		}
	}
	return ""
}

const (
	shellURI    = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/"
	transferURI = "http://schemas.xmlsoap.org/ws/2004/09/transfer/"
)

func (w *WinRM) serve(response http.ResponseWriter, request *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(response, request.Body, maxEnvelope))
	if err != nil || request.URL.Path != "/wsman" || !strings.HasPrefix(request.Header.Get("Content-Type"), "application/soap+xml") {
		fault(response, "s:Sender", "w:EncodingLimit", "2150858845", "The request is larger than the service takes, or no SOAP.")
		return
	}
	var e envelope
	if err := xml.Unmarshal(text, &e); err != nil {
		fault(response, "s:Sender", "w:SchemaValidationError", "2150858817", err.Error())
		return
	}
	action := e.Action[strings.LastIndexByte(e.Action, '/')+1:]
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook != nil && !hook(action) {
		if connection, _, err := response.(http.Hijacker).Hijack(); err == nil {
			_ = connection.Close() // which is what is wanted
		}
		return
	}
	w.act(response, request, action, e)
}

func (w *WinRM) act(response http.ResponseWriter, request *http.Request, action string, e envelope) {
	if action == "Create" {
		id := w.create()
		answer(response, transferURI+"CreateResponse", "<rsp:Shell><rsp:ShellId>"+id+"</rsp:ShellId></rsp:Shell>")
		return
	}
	w.mu.Lock()
	shell, ok := w.shells[e.shell()]
	var p *process
	if ok {
		p = shell[e.Stream.ID+e.Desired.ID+e.Signal.ID]
	}
	w.mu.Unlock()
	switch {
	case !ok:
		fault(response, "s:Sender", "w:InvalidSelectors", "2150858843", "The request for the Windows Remote Shell failed because the shell was not found on the server.")
	case action == "Delete":
		w.delete(e.shell())
		answer(response, transferURI+"DeleteResponse", "")
	case action == "Command":
		id := w.start(e.shell(), e.Command)
		answer(response, shellURI+"CommandResponse", "<rsp:CommandResponse><rsp:CommandId>"+id+"</rsp:CommandId></rsp:CommandResponse>")
	case action == "Signal":
		if p != nil {
			p.kill()
		}
		answer(response, shellURI+"SignalResponse", "<rsp:SignalResponse/>")
	case p == nil:
		fault(response, "s:Sender", "w:InvalidParameter", "87", "The parameter is incorrect.")
	case action == "Send":
		p.send(e.Stream.Content, e.Stream.End == "true")
		answer(response, shellURI+"SendResponse", "<rsp:SendResponse/>")
	case action == "Receive":
		p.receive(response, request, e.Timeout)
	default:
		fault(response, "s:Sender", "wsa:ActionNotSupported", "2150858752", "The action is not supported: "+action)
	}
}

func (w *WinRM) create() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := fmt.Sprintf("SHELL-%d", w.requests.Add(1))
	w.shells[id] = map[string]*process{}
	return id
}

func (w *WinRM) delete(shell string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.shells[shell] {
		p.kill()
	}
	delete(w.shells, shell)
}

func (w *WinRM) start(shell, line string) string {
	p := &process{changed: make(chan struct{}, 1), done: make(chan struct{})}
	reader, writer := io.Pipe()
	p.stdin = writer
	w.mu.Lock()
	id := fmt.Sprintf("COMMAND-%d", w.requests.Add(1))
	w.shells[shell][id] = p
	w.lines = append(w.lines, line)
	w.mu.Unlock()
	go func() {
		code := PowerShell{w.Root, w.Programs}.Run(line, reader, stream{p, "stdout"}, stream{p, "stderr"})
		_ = reader.Close() // who still sends is told
		p.end(code)
	}()
	return id
}

// process is one command.
type process struct {
	stdin   *io.PipeWriter
	changed chan struct{}
	done    chan struct{}

	mu     sync.Mutex
	out    []chunk
	pid    int
	code   int
	killed bool
}

type chunk struct {
	name string
	data []byte
}

// stream is one of the outputs of a process.
type stream struct {
	*process
	name string
}

func (s stream) Write(data []byte) (int, error) {
	s.mu.Lock()
	s.out = append(s.out, chunk{s.name, bytes.Clone(data)})
	if found := regexp.MustCompile(`^certificate-command-begins (\d+)`).FindSubmatch(data); found != nil {
		s.pid, _ = strconv.Atoi(string(found[1])) // digits
		if s.killed {
			s.killGroup()
		}
	}
	s.mu.Unlock()
	s.tell()
	return len(data), nil
}

func (p *process) tell() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *process) end(code int) {
	p.mu.Lock()
	p.code = code
	p.mu.Unlock()
	close(p.done)
	p.tell()
}

// kill ends what the command started. The fake itself is no process of its own.
func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.killGroup()
	p.mu.Unlock()
	_ = p.stdin.CloseWithError(io.ErrClosedPipe) // always nil
}

func (p *process) killGroup() {
	if p.pid > 1 && p.pid != syscall.Getpid() {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // it may have ended already
	}
}

func (p *process) send(content string, end bool) {
	data, err := base64.StdEncoding.DecodeString(content)
	if err == nil {
		_, _ = p.stdin.Write(data) // a command need not read
	}
	if end {
		_ = p.stdin.Close() // always nil
	}
}

// receive waits for output, the end, or the time given.
func (p *process) receive(response http.ResponseWriter, request *http.Request, timeout string) {
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(timeout, "PT"), "S"), 64)
	if err != nil {
		seconds = 60
	}
	timer := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer timer.Stop()
	for {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		body := p.take()
		if ended || body != "" {
			p.mu.Lock()
			state := `<rsp:CommandState State="` + shellURI + `CommandState/Running"/>`
			if ended = ended && len(p.out) == 0; ended {
				state = fmt.Sprintf(`<rsp:CommandState State="%sCommandState/Done"><rsp:ExitCode>%d</rsp:ExitCode></rsp:CommandState>`, shellURI, p.code)
			}
			p.mu.Unlock()
			answer(response, shellURI+"ReceiveResponse", "<rsp:ReceiveResponse>"+body+state+"</rsp:ReceiveResponse>")
			return
		}
		select {
		case <-p.changed:
		case <-p.done:
		case <-timer.C:
			fault(response, "s:Receiver", "w:TimedOut", "2150858793", "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.")
			return
		case <-request.Context().Done():
			return
		}
	}
}

// take returns as much output as an envelope holds.
func (p *process) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body strings.Builder
	for len(p.out) > 0 && body.Len() < maxEnvelope/2 {
		first := &p.out[0]
		name, data := first.name, first.data[:min(len(first.data), maxEnvelope/4)]
		if first.data = first.data[len(data):]; len(first.data) == 0 {
			p.out = p.out[1:]
		}
		fmt.Fprintf(&body, `<rsp:Stream Name="%s" CommandId="x">%s</rsp:Stream>`, name, base64.StdEncoding.EncodeToString(data))
	}
	return body.String()
}

const envelopeFormat = `<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" xmlns:rsp="http://schemas.microsoft.com/wbem/wsman/1/windows/shell" xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault"><s:Header><a:Action>%s</a:Action></s:Header><s:Body>%s</s:Body></s:Envelope>`

func answer(response http.ResponseWriter, action, body string) {
	response.Header().Set("Content-Type", "application/soap+xml;charset=UTF-8")
	_, _ = fmt.Fprintf(response, envelopeFormat, action, body) // the client may be gone
}

func fault(response http.ResponseWriter, code, subcode, number, words string) {
	response.Header().Set("Content-Type", "application/soap+xml;charset=UTF-8")
	response.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(response, envelopeFormat, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", fmt.Sprintf( // as above
		`<s:Fault><s:Code><s:Value>%s</s:Value><s:Subcode><s:Value>%s</s:Value></s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">%s</s:Text></s:Reason>`+
			`<s:Detail><f:WSManFault Code="%s" Machine="localhost"><f:Message>%s</f:Message></f:WSManFault></s:Detail></s:Fault>`, code, subcode, words, number, words))
}
