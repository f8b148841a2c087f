package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a headless Chromium, driven through its DevTools protocol over two pipes: JSON messages that end with a
// zero byte, commands one way, answers and events the other.
type browser struct {
	t   *testing.T
	out io.Writer

	mu      sync.Mutex
	last    int
	waiting map[int]chan message
	tabs    map[string]*tab // by session
	ended   chan struct{}   // closed when the browser says no more
}

// message is one of the protocol's.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// chromium is where the browser is.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("the page is tested in Chromium, and there is none: run scripts/setup, or: apt-get install chromium")
	return ""
}

// newBrowser starts a browser with a profile of its own, which reaches this machine and nothing else.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var said output
	cmd := exec.Command(chromium(t), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars",
		"--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	cmd.Stderr = &said
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	b := &browser{t: t, out: in, waiting: map[int]chan message{}, tabs: map[string]*tab{}, ended: make(chan struct{})}
	go b.listen(out)
	t.Cleanup(func() {
		_, _ = b.call("", "Browser.close", nil)
		_, _ = in.Close(), cmd.Wait() // a browser that was told to end may say so in its exit code
		<-b.ended
		if t.Failed() {
			t.Logf("the browser said:\n%s", said.tail())
		}
	})
	return b
}

// listen hands out what the browser says until it says no more.
func (b *browser) listen(out io.ReadCloser) {
	defer close(b.ended)
	defer out.Close()
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m); err != nil {
			b.t.Errorf("the browser says %q: %v", line, err)
			return
		}
		b.mu.Lock()
		answer, tab := b.waiting[m.ID], b.tabs[m.SessionID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case answer != nil:
			answer <- m
		case m.Method != "" && tab != nil:
			tab.hear(m.Method, m.Params)
		}
	}
}

// call gives a command and waits for its result.
func (b *browser) call(session, method string, params any) (json.RawMessage, error) {
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.last++
	m := message{ID: b.last, SessionID: session, Method: method, Params: raw}
	b.waiting[m.ID] = answer
	line, err := json.Marshal(m)
	if err == nil {
		_, err = b.out.Write(append(line, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			return nil, fmt.Errorf("%s: %s", method, m.Error.Message)
		}
		return m.Result, nil
	case <-b.ended:
		return nil, fmt.Errorf("%s: the browser has ended", method)
	case <-time.After(patience):
		return nil, fmt.Errorf("%s: no answer in %s", method, patience)
	}
}

// tab is one page. It keeps what the page asks for and what the browser has to say against it.
type tab struct {
	*browser
	session string

	heard      sync.Mutex
	requests   []string
	complaints []string
}

// newTab opens a tab with a window of a size.
func (b *browser) newTab(width, height int) *tab {
	b.t.Helper()
	tb := &tab{browser: b}
	var target struct{ TargetID, SessionID string }
	tb.into(&target, "Target.createTarget", map[string]any{"url": "about:blank"})
	tb.into(&target, "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true})
	b.mu.Lock()
	tb.session = target.SessionID
	b.tabs[tb.session] = tb
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		tb.do(domain+".enable", map[string]any{})
	}
	tb.do("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `
		addEventListener("securitypolicyviolation", (e) => console.error("CSP: " + e.violatedDirective + " " + e.blockedURI));
		alert = (text) => console.error("alert: " + text);`})
	tb.resize(width, height)
	return tb
}

func (tb *tab) into(result any, method string, params map[string]any) {
	tb.t.Helper()
	raw, err := tb.call(tb.session, method, params)
	if err == nil {
		err = json.Unmarshal(raw, result)
	}
	if err != nil {
		tb.t.Fatal(err)
	}
}

func (tb *tab) do(method string, params map[string]any) {
	tb.t.Helper()
	tb.into(&struct{}{}, method, params)
}

// hear keeps what the tests ask about.
func (tb *tab) hear(method string, params json.RawMessage) {
	var p struct {
		Type    string
		Args    []struct{ Value, Description any }
		Entry   struct{ Level, Source, Text, URL string }
		Request struct{ URL string }
		Details json.RawMessage `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return // none of those below
	}
	tb.heard.Lock()
	defer tb.heard.Unlock()
	switch {
	case method == "Network.requestWillBeSent":
		tb.requests = append(tb.requests, p.Request.URL)
	case method == "Runtime.exceptionThrown":
		tb.complaints = append(tb.complaints, string(p.Details))
	case method == "Runtime.consoleAPICalled" && (p.Type == "error" || p.Type == "warning"):
		tb.complaints = append(tb.complaints, fmt.Sprint(p.Args))
	case method == "Log.entryAdded" && (p.Entry.Level == "error" || p.Entry.Level == "warning"):
		tb.complaints = append(tb.complaints, p.Entry.Source+": "+p.Entry.Text+" "+p.Entry.URL)
	}
}

// clean fails the test if the page has asked another host for something, or if the browser complains.
func (tb *tab) clean(host string) {
	tb.t.Helper()
	tb.heard.Lock()
	defer tb.heard.Unlock()
	for _, url := range tb.requests {
		if !strings.HasPrefix(url, host+"/") && url != "about:blank" {
			tb.t.Errorf("the page asks for %s", url)
		}
	}
	if len(tb.requests) == 0 {
		tb.t.Error("the page asks for nothing")
	}
	for _, c := range tb.complaints {
		tb.t.Error("the browser complains:", c)
	}
}

// forgive forgets what the browser complained about, and returns it.
func (tb *tab) forgive() []string {
	tb.heard.Lock()
	defer tb.heard.Unlock()
	all := tb.complaints
	tb.complaints = nil
	return all
}

// open goes to an address.
func (tb *tab) open(url string) {
	tb.t.Helper()
	tb.do("Page.navigate", map[string]any{"url": url})
}

// eval returns what an expression of JavaScript comes to.
func (tb *tab) eval(expression string) (value any, err error) {
	raw, err := tb.call(tb.session, "Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true})
	if err != nil {
		return nil, err
	}
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	if r.ExceptionDetails != nil {
		return nil, errors.New(r.ExceptionDetails.Exception.Description)
	}
	return r.Result.Value, nil
}

// is waits until an expression is true.
func (tb *tab) is(what, expression string) {
	tb.t.Helper()
	eventually(tb.t, what, func() error {
		value, err := tb.eval(expression)
		if err == nil && value != true {
			text, _ := tb.eval(`document.body.innerText`)
			err = fmt.Errorf("%s is %v; the page says:\n%v", expression, value, text)
		}
		return err
	})
}

// shows waits until an element's text holds another one.
func (tb *tab) shows(selector, text string) {
	tb.t.Helper()
	tb.is(selector+" shows "+text, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "").includes(%s)`, selector, jsText(text)))
}

// press presses a key, such as Tab, Enter, Escape or a letter.
func (tb *tab) press(key string) {
	tb.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
	p := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
	if key == "Enter" {
		p["text"] = "\r"
	}
	tb.do("Input.dispatchKeyEvent", p)
	p["type"] = "keyUp"
	tb.do("Input.dispatchKeyEvent", p)
}

// typeIn types a text where the focus is.
func (tb *tab) typeIn(text string) {
	tb.t.Helper()
	tb.do("Input.insertText", map[string]any{"text": text})
}

// tabTo presses Tab until an element has the focus.
func (tb *tab) tabTo(selector string) {
	tb.t.Helper()
	for range 100 {
		tb.press("Tab")
		if at, err := tb.eval(fmt.Sprintf(`document.activeElement?.matches(%q) ?? false`, selector)); err == nil && at == true {
			return
		}
	}
	tb.t.Fatalf("the Tab key does not get to %s", selector)
}

// resize makes the window another size.
func (tb *tab) resize(width, height int) {
	tb.t.Helper()
	tb.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
}

// scheme asks for a dark or a light page.
func (tb *tab) scheme(name string) {
	tb.t.Helper()
	tb.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": name}}})
}

// screenshot is the window as PNG. With ESHOST_SCREENSHOTS it is also put into that folder.
func (tb *tab) screenshot(name string) []byte {
	tb.t.Helper()
	var shot struct{ Data []byte }
	tb.into(&shot, "Page.captureScreenshot", map[string]any{"format": "png"})
	if dir := os.Getenv("ESHOST_SCREENSHOTS"); dir != "" {
		if err := os.WriteFile(dir+"/"+name+".png", shot.Data, 0o600); err != nil {
			tb.t.Error(err)
		}
	}
	return shot.Data
}
