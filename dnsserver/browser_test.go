package dnsserver

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// browser is a headless Chromium with scripts switched off, driven over its
// DevTools protocol.
type browser struct {
	t    *testing.T
	conn *websocket.Conn
	next int
	page string // session of the tab
}

// openBrowser starts one that ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed")
	}
	profile, err := os.MkdirTemp("", "chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(profile) }) // its helpers may still write while they end
	cmd := exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--remote-debugging-port=0", "--remote-allow-origins=*", "--user-data-dir="+profile, "about:blank")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	found := make(chan string, 1)
	go func() {
		listening := regexp.MustCompile(`DevTools listening on (ws://\S+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	b := &browser{t: t}
	select {
	case url := <-found:
		if b.conn, err = websocket.Dial(url, "", "http://127.0.0.1"); err != nil {
			t.Fatal(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("chromium did not say where it listens")
	}
	b.conn.MaxPayloadBytes = 64 << 20
	if err := b.conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.conn.Close() })
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})["targetId"]
	b.page = b.call("Target.attachToTarget", map[string]any{"targetId": target, "flatten": true})["sessionId"].(string)
	b.call("Page.enable", nil)
	b.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	return b
}

// call sends one command and returns its result; events are passed over.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.next++
	message := map[string]any{"id": b.next, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.page != "" {
		message["sessionId"] = b.page
	}
	if err := websocket.JSON.Send(b.conn, message); err != nil {
		b.t.Fatal(err)
	}
	for {
		var reply struct {
			ID     int
			Result map[string]any
			Error  *struct{ Message string }
		}
		if err := websocket.JSON.Receive(b.conn, &reply); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		switch {
		case reply.ID != b.next:
			continue
		case reply.Error != nil:
			b.t.Fatalf("%s: %s", method, reply.Error.Message)
		}
		return reply.Result
	}
}

// wait reads events until one has come.
func (b *browser) wait(event string) {
	b.t.Helper()
	for {
		var message struct{ Method string }
		if err := websocket.JSON.Receive(b.conn, &message); err != nil {
			b.t.Fatalf("wait for %s: %v", event, err)
		}
		if message.Method == event {
			return
		}
	}
}

// screen sets the size of the window and the colours that the reader prefers.
func (b *browser) screen(width int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}})
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url})
	b.wait("Page.loadEventFired")
}

// find returns the node of a selector, 0 for none.
func (b *browser) find(selector string) float64 {
	b.t.Helper()
	root := b.call("DOM.getDocument", nil)["root"].(map[string]any)["nodeId"]
	node, _ := b.call("DOM.querySelector", map[string]any{"nodeId": root, "selector": selector})["nodeId"].(float64)
	return node
}

// text is the HTML of what a selector finds.
func (b *browser) text(selector string) string {
	b.t.Helper()
	node := b.find(selector)
	if node == 0 {
		b.t.Fatalf("the page has no %s", selector)
	}
	html, _ := b.call("DOM.getOuterHTML", map[string]any{"nodeId": node})["outerHTML"].(string)
	return html
}

// typeInto writes into a field and sends its form.
func (b *browser) typeInto(selector, text string) {
	b.t.Helper()
	b.call("DOM.focus", map[string]any{"nodeId": b.find(selector)})
	b.call("Input.insertText", map[string]any{"text": text})
	b.call("Input.dispatchKeyEvent", map[string]any{"type": "keyDown", "key": "Enter", "code": "Enter", "text": "\r", "windowsVirtualKeyCode": 13})
	b.wait("Page.loadEventFired")
}

// width is how wide the content is, in CSS pixels.
func (b *browser) width() int {
	b.t.Helper()
	size := b.call("Page.getLayoutMetrics", nil)["cssContentSize"].(map[string]any)
	return int(size["width"].(float64))
}

// shoot writes a picture of the whole page into a folder.
func (b *browser) shoot(folder, name string) {
	b.t.Helper()
	shot := b.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})["data"].(string)
	png, err := base64.StdEncoding.DecodeString(shot)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(png) < 5000 {
		b.t.Errorf("the picture %s has %d bytes: the page is empty", name, len(png))
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// tree is what a screen reader is given: names by role.
func (b *browser) tree() map[string][]string {
	b.t.Helper()
	nodes, _ := b.call("Accessibility.getFullAXTree", nil)["nodes"].([]any)
	all := map[string][]string{}
	text, err := json.Marshal(nodes)
	if err != nil {
		b.t.Fatal(err)
	}
	var read []struct{ Role, Name struct{ Value any } }
	if err := json.Unmarshal(text, &read); err != nil {
		b.t.Fatal(err)
	}
	for _, n := range read {
		role, _ := n.Role.Value.(string)
		name, _ := n.Name.Value.(string)
		all[role] = append(all[role], name)
	}
	return all
}
