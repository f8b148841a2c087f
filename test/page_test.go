package test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"eshost/test/redistest"
)

// hostile is text that would do harm if it got into the page as HTML.
const hostile = `<script>alert('x')</script><img src=x onerror=alert(1)>`

// showsHostile waits until an element has the hostile text, as text.
func (tb *tab) showsHostile(selector string) {
	tb.t.Helper()
	tb.is(selector+" has the hostile text", fmt.Sprintf(`document.querySelector(%q)?.textContent.includes(%s)`, selector, jsText(hostile)))
	tb.is("nothing of it has become an element", `!document.querySelector("main script, main img, header script, #banners img")`)
}

// TestPage looks at a host through its page, in a real browser.
func TestPage(t *testing.T) {
	t.Parallel()
	tb := newBrowser(t).newTab(1280, 900)
	p := newProject(t, newDatabase(t, "sqlite"), "app1", plugin{"picky", goGuest(t, "picky", "guests/picky"), ""},
		plugin{"balances", "balances.wasm", `events = ["AccountOpened"]`})
	p.put("balances.wasm", read(t, balancesModule(t, "rust")))
	p.write("events.ndjson", pageEvents())
	p.must("append", "events.ndjson")
	h := p.host()
	url := h.ready()
	for _, step := range []struct {
		name string
		test func(*testing.T, *tab, *project, string)
	}{
		{"list", pageList}, {"schemes", pageSchemes}, {"detail", pageDetail}, {"keyboard", pageKeyboard}, {"skip", pageSkip}, {"edit", pageEdit},
		{"pause", pagePause}, {"rebuild", pageRebuild}, {"reload", pageReload}, {"events", pageEventBrowser}, {"phone", pagePhone},
	} {
		t.Run(step.name, func(t *testing.T) {
			tb.t = t
			step.test(t, tb, p, url)
			tb.clean(url)
		})
	}
	tb.t = t
	h.stop()
	tb.shows("#banners", "The host does not answer since")
	tb.screenshot("gone-light")
	if all := fmt.Sprint(tb.forgive()); !strings.Contains(all, "ERR_CONNECTION_REFUSED") || strings.Contains(all, "exception") {
		t.Error("without the host the browser complains about", all)
	}
}

// pageEvents are events that picky handles, and some that it does not.
func pageEvents() string {
	var lines bytes.Buffer
	event := func(stream, kind, data string) {
		fmt.Fprintf(&lines, "{\"stream\":%s,\"type\":%s,\"data\":%s}\n", jsText(stream), jsText(kind), data)
	}
	for i := range 120 {
		event(fmt.Sprint("order-", i%7), "Placed", fmt.Sprintf(`{"amount":%d,"exact":12345678901234567890.10}`, i))
	}
	event("order-1", "Broken", `{"reject":`+jsText(hostile)+`}`)
	event("order-1", "Placed", `{"b":{"10":1,"2":[true,null]}}`)
	event(hostile, "Broken", `{"reject":"the name is odd"}`)
	event("order-2", hostile, `{"trap":`+jsText(hostile)+`}`)
	event("order/3 ?", "Broken", `{"reject":"to be edited"}`)
	return lines.String()
}

func pageList(t *testing.T, tb *tab, _ *project, url string) {
	tb.open(url + "/")
	tb.shows(`[data-plugin="balances"] .badge`, "running")
	tb.shows(`[data-plugin="picky"] .badge`, "running")
	tb.shows(`[data-plugin="picky"]`, "4 parked")
	tb.showsHostile(`[data-plugin="picky"] .why`)
	for _, text := range []string{"Lag", "none", "events/s", "1 · "} {
		tb.shows(`[data-plugin="picky"]`, text)
	}
	tb.shows("#host", "app1")
	tb.is("the rate is drawn", `document.querySelector('[data-plugin="picky"] polyline').getAttribute("points").split(" ").length > 2`)
	// In place: what is there stays the same element while what it says changes.
	if _, err := tb.eval(`window.kept = document.querySelector('[data-plugin="picky"]'); kept.querySelector("a").focus()`); err != nil {
		t.Fatal(err)
	}
	tb.is("there are new readings", `document.querySelector('[data-plugin="picky"] polyline').getAttribute("points").split(" ").length > 4`)
	tb.is("nothing was made anew", `window.kept.isConnected && document.activeElement === kept.querySelector("a")`)
}

func pageSchemes(t *testing.T, tb *tab, _ *project, _ string) {
	tb.scheme("light")
	light := tb.screenshot("list-light")
	tb.scheme("dark")
	if bytes.Equal(light, tb.screenshot("list-dark")) {
		t.Error("the dark page looks like the light one")
	}
	tb.is("the page is dark", `getComputedStyle(document.body).backgroundColor === "rgb(14, 18, 22)"`)
	tb.scheme("light")
	tb.is("the page is light", `getComputedStyle(document.body).backgroundColor === "rgb(245, 246, 248)"`)
}

func pageDetail(_ *testing.T, tb *tab, _ *project, url string) {
	tb.open(url + "/#/plugins/picky")
	tb.is("the sequences are there", `document.querySelectorAll("[data-key]").length === 4`)
	tb.showsHostile(`[data-key="order-1"]`)
	tb.is("the heading has the focus", `document.activeElement.tagName === "H1"`)
	if _, err := tb.eval(`document.querySelectorAll("[data-key] details").forEach((d) => { d.open = true })`); err != nil {
		tb.t.Fatal(err)
	}
	tb.shows(`[data-key="order-1"]`, "Behind it")
	tb.shows(`[data-key="order-2"]`, "main.handle")
	tb.showsHostile(`[data-key="order-2"] pre`)
	tb.is("the digest is there", `/[0-9a-f]{64}/.test(document.querySelector("main").innerText)`)
	tb.shows(`[aria-labelledby="modules"]`, "125")
	tb.shows(`[aria-labelledby="generations"]`, "live")
	tb.resize(1280, 2600)
	tb.screenshot("detail-light")
	tb.resize(1280, 900)
}

// pageKeyboard retries a sequence with nothing but the keyboard.
func pageKeyboard(_ *testing.T, tb *tab, _ *project, url string) {
	tb.open(url + "/#/")
	tb.shows(`[data-plugin="picky"]`, "4 parked")
	if _, err := tb.eval(`document.activeElement.blur()`); err != nil {
		tb.t.Fatal(err)
	}
	tb.tabTo("#skip")
	tb.is("the skip link is seen", `document.querySelector("#skip").getBoundingClientRect().top >= 0`)
	tb.press("Enter")
	tb.is("the content has the focus", `document.activeElement.id === "main" && location.hash === "#/"`)
	tb.tabTo(`[data-plugin="picky"] a`)
	tb.is("the focus is seen", `parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`)
	tb.press("Enter")
	tb.is("the sequences are there", `document.querySelectorAll("[data-key]").length === 4`)
	tb.tabTo(`[data-key="order-1"] button[aria-label="Retry order-1"]`)
	tb.screenshot("focus-light")
	tb.press("Enter")
	tb.shows("#said", "retry done")
	tb.is("it is tried, and fails again", `document.querySelectorAll("[data-key]").length === 4`)
	tb.is("the button keeps the focus", `document.activeElement.getAttribute("aria-label") === "Retry order-1"`)
	// No trap: Tab goes on behind the last thing that can have the focus.
	if _, err := tb.eval(`window.seen = new Set()`); err != nil {
		tb.t.Fatal(err)
	}
	for range 60 {
		tb.press("Tab")
		if _, err := tb.eval(`seen.add(document.activeElement)`); err != nil {
			tb.t.Fatal(err)
		}
	}
	tb.is("the Tab key gets everywhere", `seen.size > 15 && seen.has(document.querySelector("nav a"))`)
}

func pageSkip(_ *testing.T, tb *tab, p *project, _ string) {
	tb.tabTo(`button[aria-label^="Skip… <script>"]`)
	tb.press("Enter")
	tb.is("the dialog is open", `document.querySelector("#dialog").open`)
	tb.showsHostile("#dialog-text")
	tb.shows("#dialog-text", "A rebuild of the read model handles it again.")
	tb.press("Escape")
	tb.is("Escape closes it, and the button has the focus", `!document.querySelector("#dialog").open && document.activeElement.getAttribute("aria-label").startsWith("Skip… <script>")`)
	tb.press("Enter")
	tb.typeIn("Ada")
	tb.press("Tab")
	tb.typeIn("a test, ticket 4711")
	tb.screenshot("dialog-light")
	tb.press("Enter")
	tb.shows("#said", "skip done")
	tb.is("the sequence is gone", `document.querySelectorAll("[data-key]").length === 3`)
	tb.is("the focus stays near", `document.activeElement.id === "parked" || document.activeElement.closest("section") !== null`)
	if out := p.must("parked", "log", "picky", "--json"); !strings.Contains(out, "ticket 4711") || !strings.Contains(out, `"Ada"`) {
		tb.t.Errorf("the record is\n%s", out)
	}
}

func pageEdit(_ *testing.T, tb *tab, p *project, _ string) {
	tb.tabTo(`button[aria-label="Edit… order/3 ?"]`)
	tb.press("Enter")
	tb.is("the data is there", `document.querySelector("#dialog textarea")?.value.includes("to be edited")`)
	fill := func(data string) {
		if _, err := tb.eval(`(() => { const [d, w] = [document.querySelector("#field-data"), document.querySelector("#field-why")]; d.value = ` + jsText(data) + `; w.value = "mended"; w.focus(); })()`); err != nil {
			tb.t.Fatal(err)
		}
	}
	fill(`{"reject":`)
	tb.press("Enter")
	tb.shows("#dialog-error", "JSON")
	if all := tb.forgive(); len(all) != 1 || !strings.Contains(all[0], "/v1/plugins/picky/edit") {
		tb.t.Error("the browser complains:", all)
	}
	fill(`{"amount":5}`)
	tb.press("Enter")
	tb.shows("#said", "edit done")
	tb.is("the sequence is gone", `document.querySelectorAll("[data-key]").length === 2`)
	eventually(tb.t, "the plugin has handled it", func() error {
		if code, out, errs := p.run("", "read", "picky", "counts", "order/3 ?"); code != 0 || !strings.Contains(out, "1") {
			return errors.New(out + errs)
		}
		return nil
	})
}

func pagePause(_ *testing.T, tb *tab, _ *project, _ string) {
	tb.click("main", "Pause…")
	tb.click("#dialog", "Pause")
	tb.shows("main .badge", "paused")
	tb.shows("main .why", "Ada")
	tb.screenshot("paused-light")
	tb.click("main", "Resume…")
	tb.click("#dialog", "Resume")
	tb.shows("main .badge", "running")
}

func pageRebuild(_ *testing.T, tb *tab, _ *project, url string) {
	tb.open(url + "/#/plugins/balances")
	tb.shows("h1", "balances")
	tb.click("main", "Rebuild…")
	tb.click("#dialog", "Rebuild")
	tb.shows("#said", "rebuild done")
	tb.shows(`[aria-labelledby="generations"]`, "Generation 2")
	tb.shows(`[aria-labelledby="generations"] li:last-child`, "retired")
	tb.screenshot("generations-light")
	tb.click(`[aria-labelledby="generations"] li:last-child`, "Drop…")
	tb.click("#dialog", "Drop")
	tb.is("it is gone", `document.querySelectorAll('[aria-labelledby="generations"] li').length === 1`)
}

func pageReload(t *testing.T, tb *tab, p *project, url string) {
	p.put("balances.wasm", []byte("no module"))
	tb.shows("main .why", "A new module (")
	tb.shows(`[aria-labelledby="reloads"]`, "refused")
	tb.screenshot("refused-light")
	p.put("balances.wasm", read(t, balancesModule(t, "assemblyscript")))
	tb.shows(`[aria-labelledby="reloads"]`, "took over")
	tb.is("nothing is held against it", `document.querySelector("main .why").hidden`)
	tb.click("main", "Reload")
	tb.shows("#said", "nothing has changed for balances")
}

func pageEventBrowser(_ *testing.T, tb *tab, p *project, url string) {
	rows := func(n int) {
		tb.t.Helper()
		tb.is(fmt.Sprintf("%d events are shown", n), fmt.Sprintf(`document.querySelectorAll("#events .event").length === %d`, n))
	}
	tb.open(url + "/#/events")
	rows(50)
	tb.showsHostile("#events")
	tb.is("the newest is the first", `document.querySelector("#events .position").innerText === "125"`)
	p.write("more.ndjson", `{"stream":"late","type":"Placed","data":{}}`+"\n")
	p.must("append", "more.ndjson")
	tb.is("what is new comes by itself", `document.querySelector("#events .position").innerText === "126"`)
	tb.screenshot("events-light")

	tb.tabTo("#filter-types")
	tb.typeIn("Broken")
	tb.press("Enter")
	rows(3)
	tb.open(url + "/#/events?stream=order-1&types=Broken")
	rows(1)
	tb.open(url + "/#/events?stream=" + "order-1")
	rows(19)
	tb.open(url + "/#/events?after=100")
	rows(26)
	tb.open(url + "/#/events?after=0")
	rows(50)
	tb.click("main", "Next page")
	tb.is("the next page begins behind", `document.querySelector("#events .position").innerText === "51"`)
	rows(50)
	if _, err := tb.eval(`document.querySelector("#events details").open = true`); err != nil {
		tb.t.Fatal(err)
	}
	tb.is("numbers keep their digits", `document.querySelector("#events pre").innerText === '{\n  "amount": 50,\n  "exact": 12345678901234567890.10\n}'`)
	tb.open(url + "/#/events?after=121&types=Placed")
	rows(2)
	if _, err := tb.eval(`document.querySelector("#events details").open = true`); err != nil {
		tb.t.Fatal(err)
	}
	tb.is("members keep their order", `document.querySelector("#events pre").innerText.includes('"10": 1,\n    "2": [\n      true,')`)
	tb.open(url + "/#/events?stream=nobody")
	tb.shows("main", "There is no event of stream “nobody”")
	tb.open(url + "/#/events?after=x")
	tb.shows("main .notice.bad", "after must be a whole number")
	for _, c := range tb.forgive() {
		if !strings.Contains(c, "/v1/streams/nobody") && !strings.Contains(c, "after=x") {
			tb.t.Error("the browser complains:", c)
		}
	}
}

// pagePhone looks for anything that is wider than a small phone, in every view.
func pagePhone(_ *testing.T, tb *tab, _ *project, url string) {
	tb.resize(360, 740)
	for name, view := range map[string]struct{ path, ready string }{
		"list":   {"/#/", `document.querySelectorAll("[data-plugin]").length === 2`},
		"detail": {"/#/plugins/picky", `document.querySelectorAll("[data-key]").length === 2`},
		"events": {"/#/events", `document.querySelectorAll("#events .event").length === 50`},
	} {
		tb.open(url + view.path)
		tb.is(name+" is there", view.ready)
		if _, err := tb.eval(`document.querySelectorAll("main details").forEach((d) => { d.open = true })`); err != nil {
			tb.t.Fatal(err)
		}
		tb.is("details are there", `[...document.querySelectorAll("main details")].every((d) => d.querySelector("pre"))`)
		tb.is(name+" does not scroll sideways", `document.documentElement.scrollWidth <= 360 && [...document.querySelectorAll("main *")].every((e) => e.closest(".spark") || e.getBoundingClientRect().right <= 360.5)`)
		tb.screenshot(name + "-phone")
	}
	tb.resize(1280, 900)
}

// click presses the button or link of a text.
func (tb *tab) click(inside, text string) {
	tb.t.Helper()
	tb.is(text+" can be pressed", fmt.Sprintf(`(() => {
		const found = [...document.querySelectorAll(%s)].find((b) => b.innerText === %s && b.checkVisibility() && !b.disabled);
		found?.click();
		return !!found;
	})()`, jsText(inside+" button, "+inside+" a"), jsText(text)))
}

// TestPageWithTokens shows nothing to those without a token, and says what one may not do.
func TestPageWithTokens(t *testing.T) {
	t.Parallel()
	tb := newBrowser(t).newTab(1280, 900)
	p := newProject(t, newDatabase(t, "sqlite"), "app1", plugin{"picky", goGuest(t, "picky", "guests/picky"), ""})
	const reader = "reader-token-0123456789"
	toml := string(read(t, p.dir+"/hosts.toml"))
	p.write("hosts.toml", toml+"\n[[host.tokens]]\nname = \"looks\"\ntoken = \""+reader+"\"\nscopes = [\"read\"]\n")
	h := p.host()
	url := h.ready()
	tb.open(url + "/")
	tb.is("a token is asked for", `document.querySelector("#dialog").open && document.querySelector("#field-token").type === "password"`)
	tb.is("nothing is shown", `!document.querySelector("[data-plugin]")`)
	tb.typeIn("wrong-token-0123456789")
	tb.press("Enter")
	tb.shows("#dialog-text", "does not know the token")
	tb.is("it is asked for again", `document.querySelector("#dialog").open && document.querySelector("#field-token").value === ""`)
	tb.typeIn(reader)
	tb.press("Enter")
	tb.shows(`[data-plugin="picky"] .badge`, "running")
	tb.is("it is kept in the tab only", `Object.values(sessionStorage).includes("`+reader+`") && localStorage.length === 0 && document.cookie === ""`)
	tb.is("it is not shown", `!document.documentElement.outerHTML.includes("`+reader+`")`)
	tb.open(url + "/#/plugins/picky")
	tb.click("main", "Pause…")
	tb.typeIn("Ada")
	tb.click("#dialog", "Pause")
	tb.shows("#dialog-error", `scope "admin"`)
	tb.press("Escape")
	tb.click("header", "Forget the token")
	tb.is("a token is asked for again", `document.querySelector("#dialog").open`)
	for _, c := range tb.forgive() {
		if !strings.Contains(c, "status of 40") {
			t.Error("the browser complains:", c)
		}
	}
	tb.clean(url)
	h.stop()
	if out := h.stdout.String() + h.stderr.String(); strings.Contains(out, reader) {
		t.Error("the host has said the token")
	}
}

// TestPageExplainsTheWatermark leaves a transaction open: the page says which one, since when, and what to do.
func TestPageExplainsTheWatermark(t *testing.T) {
	t.Parallel()
	tb := newBrowser(t).newTab(1280, 900)
	storeURL := newDatabase(t, "postgres")
	p := newProject(t, storeURL, "app1", plugin{"picky", goGuest(t, "picky", "guests/picky"), ""})
	h := p.host()
	url := h.ready()
	tb.open(url + "/")
	tb.shows(`[data-plugin="picky"] .badge`, "running")
	tb.is("nothing is held", `document.querySelector("#held").hidden`)
	writer := connect(t, storeURL)
	for _, sql := range []string{"SET application_name = 'till <b>7</b>'", "BEGIN", "INSERT INTO eshost.events (stream, version, type) VALUES ('open', 1, 'T')"} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	p.write("events.ndjson", `{"stream":"behind","type":"Placed","data":{}}`+"\n")
	p.must("append", "events.ndjson")
	tb.shows("#held", "The watermark is held at position")
	for _, text := range []string{"Since ", fmt.Sprintf("backend %d", writer.PgConn().PID()), "till <b>7</b>", "idle in transaction", "What to do: commit or roll back",
		fmt.Sprintf("SELECT pg_terminate_backend(%d).", writer.PgConn().PID())} {
		tb.shows("#held", text)
	}
	tb.screenshot("held-light")
	if _, err := writer.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	tb.is("nothing is held any more", `document.querySelector("#held").hidden`)
	tb.clean(url)
	h.stop()
}

// TestPageBetweenRarePolls looks at a host that may look at the log once in half a minute: the page has no alarm between
// two looks.
func TestPageBetweenRarePolls(t *testing.T) {
	t.Parallel()
	tb := newBrowser(t).newTab(1280, 900)
	p := newProject(t, newDatabase(t, "sqlite"), "app1", plugin{"balances", balancesModule(t, "rust"), ""})
	p.set("[store]", `poll_max = "30s"`)
	h := p.host()
	url := h.ready()
	tb.open(url + "/")
	tb.shows(`[data-plugin="balances"] .badge`, "running")
	tb.is("the log was not read for longer than the page once allowed", `fetch("/v1/status").then((r) => r.json()).then((s) => s.log.silent_seconds > 7)`)
	if banners, err := tb.eval(`document.querySelector("#banners").textContent`); err != nil || banners != "" {
		t.Errorf("the page says %v, %v", banners, err)
	}
	if _, err := tb.eval(overdue); err != nil {
		t.Fatal(err)
	}
	tb.shows("#banners", "The database should have answered by now, and has not.")
	tb.clean(url)
	h.stop()
}

// overdue has the page hear of a host that should have read the log by now.
const overdue = `(() => {
	const real = window.fetch;
	window.fetch = async (resource, ...more) => {
		const answer = await real(resource, ...more);
		if (!String(resource.url ?? resource).includes("v1/status")) return answer;
		const status = await answer.json();
		return Response.json({ ...status, log: { ...status.log, overdue: true } });
	};
})()`

// TestPageExplainsRedis has Redis go and come back: the page says what is wrong meanwhile, and what to do.
func TestPageExplainsRedis(t *testing.T) {
	t.Parallel()
	tb := newBrowser(t).newTab(1280, 900)
	redis := redistest.Start(t)
	p := newProject(t, newDatabase(t, "sqlite"), "app1", plugin{"balances", balancesModule(t, "rust"), ""})
	p.setRedis(redis.URL())
	h := p.host()
	url := h.ready()
	tb.open(url + "/")
	tb.shows(`[data-plugin="balances"] .badge`, "running")
	redis.Kill()
	tb.shows("#banners", "Redis is failing: "+redis.Addr())
	tb.shows("#banners", "To do: start Redis there")
	redis.Start()
	tb.is("Redis is well", `!document.querySelector("#banners").textContent.includes("Redis")`)
	tb.clean(url)
	h.stop()
}

// jsText is a text in JavaScript and JSON.
func jsText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""` // cannot be
	}
	return strings.TrimSpace(b.String())
}
