package plugin

import (
	"strconv"
	"strings"
)

// demangle returns the name that a Rust compiler made a symbol of, without generic arguments and hashes; any other symbol
// unchanged. The symbol comes from a module: what it makes the host do is bounded.
func demangle(symbol string) string {
	if len(symbol) > maxSymbol {
		return symbol
	}
	if rest, ok := strings.CutPrefix(symbol, "_ZN"); ok {
		if name := demangleLegacy(rest); name != "" {
			return name
		}
	}
	if rest, ok := strings.CutPrefix(symbol, "_R"); ok {
		d := demangler{in: rest}
		if name := d.path(); !d.bad && name != "" {
			return name
		}
	}
	return symbol
}

const (
	maxSymbol = 4 << 10
	maxSteps  = 500 // of one symbol: references back could make a short one endless
)

// demangleLegacy reads the identifiers after _ZN, each with its length before it, up to E. The last one is a hash; C++,
// which mangles likewise, has none.
func demangleLegacy(rest string) string {
	var parts []string
	for rest != "" && rest[0] != 'E' {
		n, digits := number(rest)
		if digits == 0 || n > len(rest)-digits {
			return ""
		}
		parts = append(parts, legacyText(rest[digits:digits+n]))
		rest = rest[digits+n:]
	}
	last := len(parts) - 1
	if last < 1 || len(parts[last]) != 17 || parts[last][0] != 'h' {
		return ""
	}
	return strings.Join(parts[:last], "::")
}

func legacyText(s string) string {
	if strings.HasPrefix(s, "_$") {
		s = s[1:]
	}
	return legacyEscapes.Replace(s)
}

var legacyEscapes = strings.NewReplacer("$LT$", "<", "$GT$", ">", "$RF$", "&", "$BP$", "*", "$LP$", "(", "$RP$", ")", "$C$", ",",
	"$u20$", " ", "$u27$", "'", "$u5b$", "[", "$u5d$", "]", "$u7b$", "{", "$u7d$", "}", "$u3b$", ";", "$u2b$", "+", "$u22$", `"`, "..", "::")

// number reads a decimal number that is no longer than an identifier's length can be.
func number(s string) (n, digits int) {
	for digits < len(s) && digits < 5 && s[digits] >= '0' && s[digits] <= '9' {
		n = 10*n + int(s[digits]-'0')
		digits++
	}
	return n, digits
}

// demangler reads a symbol of Rust's second scheme (RFC 2603), as far as names of functions need it.
type demangler struct {
	in    string // what follows _R
	at    int
	steps int
	bad   bool // not a symbol, or one that is beyond this reader
}

func (d *demangler) next() byte {
	if d.steps++; d.at >= len(d.in) || d.steps > maxSteps {
		d.bad = true
		return 0
	}
	d.at++
	return d.in[d.at-1]
}

func (d *demangler) accept(c byte) bool {
	if d.at < len(d.in) && d.in[d.at] == c {
		d.at++
		return true
	}
	return false
}

// path reads one of: a crate, something in a namespace, an implementation, something generic, a reference back.
func (d *demangler) path() string {
	switch d.next() {
	case 'C':
		name, _ := d.identifier()
		return name
	case 'N':
		return d.nested()
	case 'M':
		d.implementation()
		return "<" + d.kind() + ">"
	case 'X':
		d.implementation()
		return "<" + d.kind() + " as " + d.path() + ">"
	case 'Y':
		return "<" + d.kind() + " as " + d.path() + ">"
	case 'I':
		name := d.path()
		for !d.bad && !d.accept('E') {
			d.argument()
		}
		return name
	case 'B':
		return d.back(d.path)
	}
	d.bad = true
	return ""
}

func (d *demangler) nested() string {
	space := d.next()
	parent := d.path()
	name, which := d.identifier()
	switch {
	case space == 'C':
		name = "{closure#" + strconv.Itoa(which) + "}"
	case space >= 'A' && space <= 'Z':
		name = "{" + name + "}"
	}
	if name == "" {
		return parent
	}
	return parent + "::" + name
}

// implementation skips where an implementation is written.
func (d *demangler) implementation() {
	if d.accept('s') {
		d.base62()
	}
	d.path()
}

// identifier reads a name, and which one of several of that name it is.
func (d *demangler) identifier() (name string, which int) {
	if d.accept('s') {
		which = d.base62() + 1
	}
	coded := d.accept('u') // punycode: shown as it is
	n, digits := number(d.in[d.at:])
	if digits == 0 || coded && n == 0 {
		d.bad = true
		return "", 0
	}
	d.at += digits
	d.accept('_')
	if n > len(d.in)-d.at {
		d.bad = true
		return "", 0
	}
	d.at += n
	return d.in[d.at-n : d.at], which
}

// argument skips a generic argument. Constants are beyond this reader.
func (d *demangler) argument() {
	if d.accept('L') {
		d.base62()
		return
	}
	d.kind()
}

// basicTypes are the letters of the types that have one.
var basicTypes = map[byte]string{
	'a': "i8", 'b': "bool", 'c': "char", 'd': "f64", 'e': "str", 'f': "f32", 'h': "u8", 'i': "isize", 'j': "usize", 'l': "i32",
	'm': "u32", 'n': "i128", 'o': "u128", 'p': "_", 's': "i16", 't': "u16", 'u': "()", 'v': "...", 'x': "i64", 'y': "u64", 'z': "!",
}

// kind reads a type. Functions, trait objects and arrays are beyond this reader.
func (d *demangler) kind() string {
	c := d.next()
	if basic, ok := basicTypes[c]; ok {
		return basic
	}
	switch c {
	case 'S':
		return "[" + d.kind() + "]"
	case 'P':
		return "*const " + d.kind()
	case 'O':
		return "*mut " + d.kind()
	case 'R', 'Q':
		if d.accept('L') {
			d.base62()
		}
		if c == 'R' {
			return "&" + d.kind()
		}
		return "&mut " + d.kind()
	case 'T':
		var parts []string
		for !d.bad && !d.accept('E') {
			parts = append(parts, d.kind())
		}
		return "(" + strings.Join(parts, ", ") + ")"
	case 'B':
		return d.back(d.kind)
	case 'C', 'N', 'M', 'X', 'Y', 'I':
		d.at--
		return d.path()
	}
	d.bad = true
	return ""
}

// back reads something that was there before.
func (d *demangler) back(read func() string) string {
	from := d.at - 1
	to := d.base62()
	if to >= from {
		d.bad = true
	}
	if d.bad {
		return ""
	}
	here := d.at
	d.at = to
	text := read()
	d.at = here
	return text
}

// base62 reads a number that ends with an underscore; the underscore alone is 0.
func (d *demangler) base62() int {
	n := 0
	for i := 0; ; i++ {
		c := d.next()
		switch {
		case d.bad:
			return 0
		case c == '_' && i == 0:
			return 0
		case c == '_':
			return n + 1
		case c >= '0' && c <= '9':
			n = 62*n + int(c-'0')
		case c >= 'a' && c <= 'z':
			n = 62*n + int(c-'a') + 10
		case c >= 'A' && c <= 'Z':
			n = 62*n + int(c-'A') + 36
		default:
			d.bad = true
		}
		n = min(n, 1<<40) // a crate's hash; nobody needs it
	}
}
