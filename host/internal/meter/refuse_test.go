package meter

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func nop() testFunc { return testFunc{export: "run"} }

func raw(sections ...[]byte) []byte {
	return cat([]byte("\x00asm\x01\x00\x00\x00"), cat(sections...))
}

func section(id byte, items ...[]byte) []byte { return appendSection(nil, id, vec(items...)) }

// imported is a module with one import.
func imported(mod, name string, desc ...byte) []byte {
	return raw(section(secType, op(0x60, 0, 0)), section(secImport, cat(sized([]byte(mod)), sized([]byte(name)), desc)))
}

func TestRefusals(t *testing.T) {
	code := func(b ...byte) []byte {
		return testModule{memory: []uint32{1}, funcs: []testFunc{exported("run", b)}}.bytes()
	}
	for name, c := range map[string]struct {
		wasm []byte
		kind error
		says string
	}{
		"empty":               {nil, ErrNotWasm, "asm"},
		"ELF":                 {[]byte("\x7fELF\x02\x01\x01"), ErrNotWasm, "asm"},
		"half a header":       {[]byte("\x00asm\x01\x00"), ErrMalformed, "version"},
		"component":           {[]byte("\x00asm\x0d\x00\x01\x00"), ErrComponent, "wasm32-unknown-unknown"},
		"version 2":           {[]byte("\x00asm\x02\x00\x00\x00"), ErrVersion, "02000000"},
		"unknown section":     {raw(op(14, 0)), ErrMalformed, "section 14"},
		"tag section":         {raw(op(13, 1, 0)), ErrUnsupported, "section 13"},
		"sections swapped":    {raw(section(secImport), section(secType)), ErrMalformed, "out of order"},
		"section twice":       {raw(section(secType), section(secType)), ErrMalformed, "twice"},
		"bytes after section": {raw(op(secType, 2, 0, 0)), ErrMalformed, "1 bytes too many"},
		"count bomb":          {raw(op(secType, 5, 0xff, 0xff, 0xff, 0xff, 0x0f)), ErrLimit, "types"},

		"imports the meter":   {imported(ImportModule, Refuel, kindFunc, 0), ErrReserved, "belongs to the host"},
		"reserved import":     {imported("env", "__eshost_x", kindFunc, 0), ErrReserved, "__eshost_x"},
		"reserved export":     {testModule{funcs: []testFunc{exported(FuelGlobal)}}.bytes(), ErrReserved, FuelGlobal},
		"imported memory":     {imported("env", "memory", kindMemory, 0, 1), ErrImport, "--importMemory"},
		"imported table":      {imported("env", "table", kindTable, 0x70, 0, 1), ErrImport, "table"},
		"imported global":     {imported("env", "g", kindGlobal, i32, 0), ErrImport, "global"},
		"two memories":        {raw(section(secMemory, op(0, 1), op(0, 1))), ErrUnsupported, "multi-memory"},
		"shared memory":       {raw(section(secMemory, op(3, 1, 1))), ErrUnsupported, "threads"},
		"64-bit memory":       {raw(section(secMemory, op(4, 1))), ErrUnsupported, "memory64"},
		"table initializer":   {raw(section(secTable, op(0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0xb))), ErrUnsupported, "references"},
		"struct type":         {raw(section(secType, op(0x5f, 0))), ErrUnsupported, "0x5f"},
		"typed reference":     {raw(section(secType, op(0x60, 1, 0x64, 0, 0))), ErrUnsupported, "typed function references"},
		"extended constant":   {raw(section(secGlobal, op(i32, 0, opI32Const, 1, opI32Const, 1, 0x6a, opEnd))), ErrUnsupported, "extended"},
		"atomics":             {code(opPrefixFC + 2), ErrUnsupported, "threads"},
		"tail call":           {code(0x12, 0), ErrUnsupported, "tail calls"},
		"exceptions":          {code(0x06, 0x40), ErrUnsupported, "exception handling"},
		"garbage collection":  {code(0xfb, 0), ErrUnsupported, "garbage collection"},
		"call_ref":            {code(0x14, 0), ErrUnsupported, "typed function references"},
		"relaxed vectors":     {code(opPrefixFD, 0x80, 0x02), ErrUnsupported, "vector opcode"},
		"long vector opcode":  {code(opPrefixFD, 0x8c, 0x00), ErrUnsupported, "too long"},
		"memory 1":            {code(0x3f, 1), ErrUnsupported, "multi-memory"},
		"unknown 0xfc":        {code(opPrefixFC, 18), ErrUnsupported, "0x12"},
		"unknown opcode":      {code(0x27), ErrMalformed, "0x27"},
		"else without if":     {code(opElse), ErrMalformed, "else"},
		"branch too far":      {code(opBr, 1), ErrMalformed, "depth 1"},
		"code after the end":  {code(opEnd, opNop), ErrMalformed, "after the end"},
		"block left open":     {code(opBlock, 0x40), ErrMalformed, "unexpected end"},
		"call of nothing":     {code(opCall, 9), ErrMalformed, "function 9"},
		"reference to nobody": {code(opRefFunc, 9, 0x1a), ErrMalformed, "function 9"},
		"export of nobody":    {raw(section(secExport, op(1, 'x', kindFunc, 0))), ErrMalformed, "export"},
		"start of nobody":     {raw(op(secStart, 1, 3)), ErrMalformed, "start"},
		"no code":             {raw(section(secType, op(0x60, 0, 0)), section(secFunction, op(0))), ErrMalformed, "no code"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Rewrite(c.wasm, Options{})
			checkError(t, err, c.kind, c.says)
		})
	}
}

func checkError(t *testing.T, err, kind error, says string) {
	t.Helper()
	if e := (*Error)(nil); !errors.As(err, &e) || !errors.Is(err, kind) || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %v, %q", err, kind, says)
	}
}

func TestLimits(t *testing.T) {
	rep := func(n int, b ...byte) []byte { return bytes.Repeat(b, n) }
	code := func(locals []byte, parts ...[]byte) []byte {
		return testModule{funcs: []testFunc{{export: "run", locals: locals, body: cat(parts...)}}}.bytes()
	}
	blocks := cat(rep(11, opBlock, 0x40), rep(11, opEnd))
	for name, c := range map[string]struct {
		wasm []byte
		low  Options // refused under these, accepted under the defaults
		says string
	}{
		"memory":       {testModule{memory: []uint32{11}, funcs: []testFunc{nop()}}.bytes(), Options{MaxMemoryPages: 10}, "11 pages"},
		"table":        {testModule{tables: [][]uint32{{11}}}.bytes(), Options{MaxTableElements: 10}, "11 elements"},
		"two tables":   {testModule{tables: [][]uint32{{6}, {5}}}.bytes(), Options{MaxTableElements: 10}, "11 elements"},
		"tables":       {testModule{tables: [][]uint32{{0}, {0}}}.bytes(), Options{MaxTables: 1}, "2 tables"},
		"size":         {code(nil), Options{MaxModuleSize: 20}, "limit is 20"},
		"functions":    {testModule{funcs: []testFunc{{}, {}}}.bytes(), Options{MaxFunctions: 1}, "2 functions"},
		"function":     {code(nil, rep(11, opNop)), Options{MaxFunctionSize: 10}, "limit is 10"},
		"locals":       {code(rep(11, i32)), Options{MaxLocals: 10}, "11"},
		"params":       {testModule{funcs: []testFunc{{params: rep(11, i32)}}}.bytes(), Options{MaxParams: 10}, "11 parameters"},
		"nesting":      {code(nil, blocks), Options{MaxNesting: 10}, "10 deep"},
		"complexity":   {code(rep(11, i32), blocks), Options{MaxComplexity: 120}, "121"},
		"in total":     {code(rep(11, i32), blocks), Options{MaxTotalComplexity: 120}, "121"},
		"nested loops": {code(rep(1, i32), rep(10, opLoop, 0x40), rep(10, opEnd)), Options{MaxComplexity: 54}, "55"},
		"br_table": {code(nil, op(opBlock, 0x40), i32c(0), op(opBrTable, 11), rep(12, 0), op(opEnd)),
			Options{MaxBranchTargets: 10}, "11 labels"},
		"types":    {testModule{funcs: []testFunc{{}, {}}}.bytes(), Options{MaxTypes: 2}, "3 types"},
		"exports":  {testModule{globals: rep(3, i32)}.bytes(), Options{MaxExports: 2}, "3 exports"},
		"globals":  {testModule{globals: rep(3, i32)}.bytes(), Options{MaxGlobals: 2}, "3 globals"},
		"imports":  {testModule{imports: []string{"a", "b"}}.bytes(), Options{MaxImports: 1}, "2 imports"},
		"elements": {testModule{elements: []uint32{0, 0, 0}, funcs: []testFunc{{}}}.bytes(), Options{MaxElements: 2}, "3 elements"},
		"segments": {raw(section(secData, op(1, 0), op(1, 0))), Options{MaxSegments: 1}, "2 data"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := Rewrite(c.wasm, Options{}); err != nil {
				t.Errorf("with the defaults: %v", err)
			}
			_, _, err := Rewrite(c.wasm, c.low)
			checkError(t, err, ErrLimit, c.says)
		})
	}
}

// everything is a module with each kind of section.
func everything() testModule {
	m := counting()
	m.imports = []string{"call"}
	m.elements = []uint32{1, 2}
	m.funcs[0].body = cat(call(0), m.funcs[1].body)
	m.funcs[1] = nop()
	m.globals, m.data, m.startFunc = []byte{i32, i64}, "abc", 3
	m.customs = []Custom{
		{"eshost.manifest", []byte(`{"name":"x"}`)},
		{".debug_line", []byte{1, 2, 3}},
		{"name", cat(op(namesFuncs), sized(vec(cat(op(0), sized([]byte("f"))))))},
		{"producers", vec(cat(sized([]byte("language")), vec(cat(sized([]byte("Rust")), sized([]byte("1"))))))},
	}
	return m
}

func TestTruncationAndDamage(t *testing.T) {
	whole := everything().bytes()
	if _, _, err := Rewrite(whole, Options{}); err != nil {
		t.Fatal(err)
	}
	accepted := 0
	for n := range whole {
		_, _, err := Rewrite(whole[:n:n], Options{})
		if e := (*Error)(nil); err != nil && !errors.As(err, &e) {
			t.Errorf("cut to %d bytes: %T", n, err)
		} else if err == nil {
			accepted++
		}
		for _, b := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			damaged := slices.Clone(whole)
			damaged[n] = b
			_, _, _ = Rewrite(damaged, Options{}) // anything but a panic
		}
	}
	if accepted > 12 { // only cuts between sections can leave a module
		t.Errorf("%d truncated modules were accepted", accepted)
	}
}

func TestInfo(t *testing.T) {
	wasm := everything().bytes()
	out, info, err := Rewrite(wasm, Options{MaxMemoryPages: 7, MaxTableElements: 9})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Import{"env", "call", "function", "()"}); !slices.Equal(info.Imports, []Import{want}) {
		t.Errorf("imports %v", info.Imports)
	}
	run, _ := info.Export("run")
	global, _ := info.Export("g1")
	if run != (Export{"run", "function", "(i32)"}) || global != (Export{"g1", "global", "mut i64"}) {
		t.Errorf("exports %v", info.Exports)
	}
	if *info.Memory != (Limits{1, 7}) || !slices.Equal(info.Tables, []Limits{{2, 9}}) {
		t.Errorf("memory %v, tables %v", info.Memory, info.Tables)
	}
	if manifest, ok := info.Custom("eshost.manifest"); !ok || string(manifest) != `{"name":"x"}` {
		t.Errorf("manifest %q", manifest)
	}
	if !slices.Equal(info.Producers, []Producer{{"language", "Rust", "1"}}) {
		t.Errorf("producers %v", info.Producers)
	}
	if info.Functions != 2 || info.OriginalSize != len(wasm) || info.MeteredSize != len(out) {
		t.Errorf("info %+v", info)
	}
	if bytes.Contains(out, []byte(".debug_line")) || !bytes.Contains(out, []byte(`{"name":"x"}`)) {
		t.Error("custom sections: the debug section should go, the manifest stay")
	}
}
