package docs

import (
	"strings"
	"testing"
)

// block is a fenced block of a document.
type block struct {
	line     int    // of its first line of text
	language string // the word after the fence
	// note is the HTML comment on the line above the fence: what shall be done with the block.
	note string
	text string
}

// blocks returns a document's fenced blocks, in order.
func blocks(t *testing.T, name string) []block {
	t.Helper()
	var all []block
	var open *block
	above := ""
	for i, line := range strings.Split(read(t, name), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && open == nil:
			open = &block{line: i + 2, language: fence}
			if note, ok := strings.CutPrefix(above, "<!-- "); ok {
				open.note = strings.TrimSuffix(note, " -->")
			}
		case isFence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		}
		above = line
	}
	if open != nil || len(all) == 0 {
		t.Fatalf("%s: the fences do not pair up, or there are none", name)
	}
	return all
}

// command is a line that begins with "$ ", and what is shown below it.
type command struct {
	line  int
	text  string
	shown []string
}

func (b block) commands() []command {
	var all []command
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			all = append(all, command{line: b.line + i, text: text})
		} else if n := len(all); n > 0 {
			all[n-1].shown = append(all[n-1].shown, line)
		}
	}
	return all
}
