package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Token is one [[host.tokens]]: what a client of the listener shows to be let in.
type Token struct {
	// Name tells tokens apart, in the log. It has no default.
	Name string
	// SHA256 is the digest of the file's token, which has no default. The token itself is not kept, so that
	// nothing can show it.
	SHA256 [sha256.Size]byte
	// Scopes is what the token allows, of ScopeRead, ScopeAppend and ScopeAdmin. Defaults to ScopeRead.
	Scopes []string
}

// Scopes of a token. None of them includes another.
const (
	ScopeRead   = "read"
	ScopeAppend = "append"
	ScopeAdmin  = "admin"
)

const (
	minToken  = 20 // characters: what is shorter can be guessed
	maxToken  = 512
	maxTokens = 100
)

// Loopback reports whether only this machine can reach the listener.
func (h Host) Loopback() bool {
	at, err := netip.ParseAddrPort(h.Listen)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

// readListener reads what [host] says of the listener.
func readListener(t *table, folder string, h *Host) {
	h.Listen = read(t, "listen", h.Listen, orOff(address()))
	h.TLSCert = read(t, "tls_cert", "", path(folder, "the path of a file with the certificate and its chain, in PEM"))
	h.TLSKey = read(t, "tls_key", "", path(folder, "the path of a file with the certificate's key, in PEM"))
	for name, other := range map[string]string{"tls_cert": "tls_key", "tls_key": "tls_cert"} {
		_, here := t.values[name]
		if _, there := t.values[other]; here && !there {
			t.mistake(name, "needs %s beside it: TLS takes both or none", other)
		}
	}
	h.Tokens = readTokens(t)
	if _, tried := t.values["tokens"]; !tried && h.Listen != "" && !h.Loopback() {
		t.mistake("listen", "is an address that other machines reach, which needs a token: add [[host.tokens]] with a name and a token, "+
			`or use a loopback address such as "127.0.0.1:7070"`)
	}
}

// address is an IP address and a port to listen on.
func address() rule[string] {
	return rule[string]{`an address such as "127.0.0.1:7070" or "0.0.0.0:7070", or "off"`, func(v any) (string, error) {
		s, _ := v.(string)
		switch host, port, _ := strings.Cut(s, ":"); host {
		case "localhost":
			s = "127.0.0.1:" + port
		case "":
			s = "[::]" + s // as net.Listen takes it: every address of the machine
		}
		if _, err := netip.ParseAddrPort(s); err != nil {
			return "", errUnfit
		}
		return s, nil
	}}
}

func readTokens(t *table) []Token {
	items := t.tables("tokens")
	if len(items) > maxTokens {
		t.mistake("tokens", "are more than %d", maxTokens)
		return nil
	}
	var tokens []Token
	for _, item := range items {
		tok := readToken(item)
		for _, other := range tokens {
			switch {
			case tok.Name == other.Name && tok.Name != "":
				item.mistake("name", "is that of another token too")
			case tok.SHA256 == other.SHA256 && tok.SHA256 != [sha256.Size]byte{}:
				item.mistake("token", "is that of token %q too", other.Name)
			}
		}
		tokens = append(tokens, tok)
	}
	return tokens
}

func readToken(t *table) Token {
	for _, name := range []string{"name", "token"} {
		if _, ok := t.values[name]; !ok {
			t.mistake("", "has no %s, which has no default", name)
		}
	}
	tok := Token{
		Name:   read(t, "name", "", text("a name of 1 to 64 characters of a-z, 0-9, _ and -", pluginName.MatchString)),
		SHA256: read(t, "token", [sha256.Size]byte{}, secret()),
		Scopes: read(t, "scopes", []string{ScopeRead}, scopes()),
	}
	t.close()
	return tok
}

// secret is a token, of which only the digest is kept. What is there is never shown.
func secret() rule[[sha256.Size]byte] {
	return rule[[sha256.Size]byte]{"", func(v any) (digest [sha256.Size]byte, err error) {
		s, ok := v.(string)
		visible := func(r rune) bool { return r > ' ' && r < 0x7f }
		switch {
		case !ok:
			err = errors.New(`must be text such as "${ESHOST_TOKEN}"`)
		case len(s) < minToken:
			err = fmt.Errorf("has fewer than %d characters and could be guessed; make one: openssl rand -hex 32", minToken)
		case len(s) > maxToken:
			err = fmt.Errorf("has more than %d characters", maxToken)
		case strings.ContainsFunc(s, func(r rune) bool { return !visible(r) }):
			err = errors.New("must be of visible ASCII characters, without spaces; make one: openssl rand -hex 32")
		default:
			digest = sha256.Sum256([]byte(s))
		}
		return digest, err
	}}
}

func scopes() rule[[]string] {
	known := []string{ScopeRead, ScopeAppend, ScopeAdmin}
	return rule[[]string]{`a list of "read", "append" and "admin"`, func(v any) ([]string, error) {
		list, ok := stringList(v)
		if !ok || len(list) == 0 {
			return nil, errUnfit
		}
		for _, s := range list {
			if !slices.Contains(known, s) {
				return nil, fmt.Errorf("%q is no scope, known are %s", s, strings.Join(known, ", "))
			}
		}
		slices.Sort(list)
		return slices.Compact(list), nil
	}}
}

// tables returns the tables of an array of them, written [[name]].
func (t *table) tables(name string) []*table {
	t.known = append(t.known, name)
	p, ok := t.values[name]
	if !ok {
		return nil
	}
	var items []map[string]toml.Primitive
	if err := t.doc.meta.PrimitiveDecode(p, &items); err != nil {
		t.mistake(name, "must be tables, each written [[%s]]", t.path(name))
		return nil
	}
	list := make([]*table, len(items))
	lines := t.doc.arrayLines(t.path(name).String())
	for i, values := range items {
		list[i] = &table{doc: t.doc, key: t.path(name), values: values}
		if len(lines) == len(items) {
			list[i].lines = lines[i]
		}
	}
	return list
}

var (
	arrayHeader = regexp.MustCompile(`^\s*\[\[\s*([^\]]*?)\s*\]\]`)
	tableHeader = regexp.MustCompile(`^\s*\[`)
	keyOfLine   = regexp.MustCompile(`^\s*([A-Za-z0-9_-]+)\s*=`)
)

// arrayLines finds the tables of an array in the text: for each the line of every key, and of its header
// under the key "". The library tells the lines of the last one only.
func (d *document) arrayLines(name string) []map[string]int {
	var all []map[string]int
	inside := false
	line := 0
	for text := range strings.Lines(d.text) {
		line++
		if m := arrayHeader.FindStringSubmatch(text); m != nil && m[1] == name {
			inside = true
			all = append(all, map[string]int{"": line})
			continue
		}
		inside = inside && !tableHeader.MatchString(text)
		if m := keyOfLine.FindStringSubmatch(text); inside && m != nil {
			all[len(all)-1][m[1]] = line
		}
	}
	return all
}
