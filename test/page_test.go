package test

import (
	"bytes"
	"fmt"
	"testing"
)

// hostile is text that would do harm if it got into the page as HTML.
const hostile = `<script>alert("x")</script><img src=x onerror=alert(1)>`

// TestPage looks at a host through its page, in a real browser.
func TestPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	p := newProject(t, newDatabase(t, "sqlite"), "page", plugin{"picky", goGuest(t, "picky", "guests/picky"), ""},
		plugin{"balances", balancesModule(t, "rust"), `events = ["AccountOpened"]`})
	p.write("events.ndjson", pageEvents())
	p.must("append", "events.ndjson")
	h := p.host()
	url := h.ready()
	tb := b.newTab(1280, 900)

	tb.open(url + "/")
	tb.shows(`[data-plugin="picky"] .badge`, "running")
	tb.shows(`[data-plugin="balances"] .badge`, "running")
	tb.shows(`[data-plugin="picky"]`, "3 parked")
	light := tb.screenshot("list-light")
	tb.scheme("dark")
	if bytes.Equal(light, tb.screenshot("list-dark")) {
		t.Error("the dark page looks like the light one")
	}
	tb.open(url + "/#/plugins/picky")
	tb.is("the sequences are there", `document.querySelectorAll("[data-key]").length === 3`)
	tb.screenshot("detail-dark")
	tb.scheme("light")
	tb.resize(1280, 2200)
	tb.eval(`document.querySelectorAll("details").forEach((d) => d.open = true)`)
	tb.shows(`[data-key="order-1"]`, "Behind it")
	tb.screenshot("detail-light")
	tb.resize(360, 800)
	tb.screenshot("detail-phone")
	tb.open(url + "/#/")
	tb.shows(`[data-plugin="picky"]`, "3 parked")
	tb.screenshot("list-phone")
	tb.open(url + "/#/events")
	tb.is("events", `document.querySelectorAll(".event").length > 5`)
	tb.screenshot("events-phone")
	tb.resize(1280, 900)
	tb.eval(`document.querySelector(".event").open = true`)
	tb.screenshot("events-light")
	tb.clean(url)
	h.stop()
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
	return lines.String()
}
