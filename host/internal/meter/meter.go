package meter

// Rewrite checks a module against the options and returns it with fuel and stack accounting built in.
func Rewrite(wasm []byte, o Options) ([]byte, Info, error) {
	m, err := parse(wasm, o.withDefaults())
	if err != nil {
		return nil, Info{}, err
	}
	g := newGraph(m)
	g.absorb()
	g.weigh()
	out := m.assemble()
	return out, Info{}, nil
}
