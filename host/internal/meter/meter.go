package meter

// Rewrite holds a module against the options and returns it with fuel and stack accounting built in, together with what
// there is to know about the original. The input is neither changed nor kept, but Info.Customs refers to it. Every error
// is an *Error.
func Rewrite(wasm []byte, o Options) ([]byte, Info, error) {
	m, err := parse(wasm, o.withDefaults())
	if err != nil {
		return nil, Info{}, err
	}
	g := newGraph(m)
	g.absorb()
	g.weigh()
	out := m.assemble()
	return out, m.info(g, len(out)), nil
}
