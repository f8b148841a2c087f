package meter

// graph is the call graph: a node for each defined function and one for each distinct function type, which stands for
// the indirect calls of that type. A function has an edge to what it calls; a type to every function of that type whose
// reference escapes, because the engine checks the type at each indirect call. Imported functions are no nodes: the host
// never calls into a guest that is already running.
type graph struct {
	m        *module
	imported uint32
	targets  [][]int32 // by type: the functions an indirect call may reach
	order    []int32   // functions, callees before callers
	cyclic   []bool    // by function: part of some call cycle
}

func newGraph(m *module) *graph {
	g := &graph{m: m, imported: uint32(len(m.importedFuncs))}
	g.targets = make([][]int32, len(m.types))
	for i := range m.funcs {
		if m.taken[i] {
			t := m.canonical[m.funcs[i].typ]
			g.targets[t] = append(g.targets[t], int32(i))
		}
	}
	g.components()
	return g
}

// next returns the node that follows along the edge at or after position i, and the position behind it; -1 at the end.
func (g *graph) next(node int32, i int) (int32, int) {
	n := int32(len(g.m.funcs))
	if node >= n {
		if t := g.targets[node-n]; i < len(t) {
			return t[i], i + 1
		}
		return -1, i
	}
	f := &g.m.funcs[node]
	for at := f.marks.from + i; at < f.marks.to; at++ {
		switch k := &g.m.scan.marks[at]; {
		case k.kind == markCall && k.value >= g.imported:
			return int32(k.value - g.imported), at + 1 - f.marks.from
		case k.kind == markIndirect:
			return n + int32(g.m.canonical[k.value]), at + 1 - f.marks.from
		}
	}
	return -1, i
}

// components is Tarjan's algorithm for strongly connected components, without recursion because the graph is hostile.
func (g *graph) components() {
	n := len(g.m.funcs) + len(g.m.types)
	type visit struct {
		node int32
		next int
	}
	var (
		number = make([]int32, n) // in order of discovery, from 1; 0 is unseen
		low    = make([]int32, n)
		open   = make([]bool, n)
		stack  []int32
		visits []visit
		count  int32
	)
	g.cyclic = make([]bool, len(g.m.funcs))
	enter := func(node int32) {
		count++
		number[node], low[node], open[node] = count, count, true
		stack = append(stack, node)
		visits = append(visits, visit{node: node})
	}
	for root := range g.m.funcs {
		if number[root] == 0 {
			enter(int32(root))
		}
		for len(visits) > 0 {
			v := &visits[len(visits)-1]
			to, after := g.next(v.node, v.next)
			v.next = after
			switch {
			case to < 0:
				node := v.node
				visits = visits[:len(visits)-1]
				if len(visits) > 0 {
					up := visits[len(visits)-1].node
					low[up] = min(low[up], low[node])
				}
				if low[node] == number[node] {
					stack = g.pop(stack, node, open)
				}
			case number[to] == 0:
				enter(to)
			case open[to]:
				low[v.node] = min(low[v.node], number[to])
				if to == v.node {
					g.cyclic[to] = true // calls itself
				}
			}
		}
	}
}

// pop takes one component off the stack and records it.
func (g *graph) pop(stack []int32, root int32, open []bool) []int32 {
	from := len(stack) - 1
	for stack[from] != root {
		from--
	}
	for _, node := range stack[from:] {
		open[node] = false
		if int(node) < len(g.m.funcs) {
			g.order = append(g.order, node)
			if len(stack)-from > 1 {
				g.cyclic[node] = true
			}
		}
	}
	return stack[:from]
}

// absorbBelow is the largest total cost of a function that its callers pay for.
const absorbBelow = 40

// absorb moves the charge of small functions to their callers: a function without loops, bulk operations and indirect
// calls whose callees are all absorbed does a bounded amount of work, so it needs no charge of its own.
func (g *graph) absorb() {
	indirect := make([]int64, len(g.m.types)) // the most any absorbed function of that type costs
	for _, i := range g.order {
		f := &g.m.funcs[i]
		f.absorbed = g.absorbable(f, i)
		if f.absorbed {
			f.cost = g.m.scan.marks[f.marks.from].cost
			t := g.m.canonical[f.typ]
			if g.m.taken[i] {
				indirect[t] = max(indirect[t], f.cost)
			}
		}
	}
	for i := range g.m.funcs {
		f := &g.m.funcs[i]
		for at := f.marks.from; at < f.marks.to; at++ {
			if k := &g.m.scan.marks[at]; k.kind == markIndirect {
				g.payer(k).cost += indirect[g.m.canonical[k.value]]
			}
		}
		if f.absorbed {
			g.m.scan.marks[f.marks.from].kind = markNothing
		}
	}
}

// absorbable adds the costs of absorbed callees to the charges of f, and says whether f can be absorbed itself.
func (g *graph) absorbable(f *function, i int32) bool {
	ok := !f.loops && !f.bulk && !f.indirect && !g.cyclic[i]
	for at := f.marks.from + 1; at < f.marks.to; at++ {
		k := &g.m.scan.marks[at]
		switch {
		case k.kind == markCharge:
			ok = false
		case k.kind == markCall && k.value >= g.imported:
			callee := &g.m.funcs[k.value-g.imported]
			ok = ok && callee.absorbed
			g.payer(k).cost += callee.cost
		}
	}
	return ok && g.m.scan.marks[f.marks.from].cost <= absorbBelow
}

// payer is the charge that pays for a call. An entry folded into a loop head passes the bill on.
func (g *graph) payer(call *mark) *mark {
	k := &g.m.scan.marks[call.payer]
	if k.kind == markNothing {
		k = &g.m.scan.marks[k.payer]
	}
	return k
}

// weigh sets what each function that can recurse takes off the stack budget: an estimate of its native frame, measured
// against the frames wazero makes. It keeps a slot for every value it ever spills, so the size of the code counts; real
// frames are between a tenth and all of the estimate.
func (g *graph) weigh() {
	for i := range g.m.funcs {
		if f := &g.m.funcs[i]; g.cyclic[i] {
			f.weight = 96 + 8*(int64(f.words)+f.values) + int64(f.code.to-f.body)
		}
	}
}
