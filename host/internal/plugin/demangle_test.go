package plugin_test

import (
	"testing"

	"eshost/host/internal/plugin"
)

func TestDemangle(t *testing.T) {
	t.Parallel()
	for symbol, want := range map[string]string{
		"_ZN6faulty6broken17h0f869f0792cf434bE": "faulty::broken",
		"_ZN4core3ptr85drop_in_place$LT$std..rt..lang_start$LT$$LP$$RP$$GT$..$u7b$$u7b$closure$u7d$$u7d$$GT$17h0123456789abcdefE": "core::ptr::drop_in_place<std::rt::lang_start<()>::{{closure}}>",
		"_ZN58_$LT$alloc..string..String$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE":                                 "<alloc::string::String as core::fmt::Debug>::fmt",
		"_RNvNtCsebHcaeoSrxy_3std9panicking15panic_with_hook":                                                                     "std::panicking::panic_with_hook",
		"_RNvCsfLfy6EI15iL_7___rustc17rust_begin_unwind":                                                                          "__rustc::rust_begin_unwind",
		"_RNCNvNtCsebHcaeoSrxy_3std9panicking13panic_handler0B5_":                                                                 "std::panicking::panic_handler::{closure#0}",
		"_RINvNtNtCsebHcaeoSrxy_3std3sys9backtrace26___rust_end_short_backtraceNCNvNtB6_9panicking13panic_handler0zEB6_":          "std::sys::backtrace::__rust_end_short_backtrace",
		"_RNvMs_NtCs1234_7mycrate7accountNtB4_7Account5apply":                                                                     "<mycrate::account::Account>::apply",
		"_RNvXCs1234_7mycrateNtB2_3FooNtB2_3Bar3baz":                                                                              "<mycrate::Foo as mycrate::Bar>::baz",
		"handle":               "handle",
		"main.(*Account).Do":   "main.(*Account).Do",
		"_ZN3foo3barEv":        "_ZN3foo3barEv", // C++
		"_ZN9999999999fooE":    "_ZN9999999999fooE",
		"_R":                   "_R",
		"_RNvB_3foo":           "_RNvB_3foo",
		"_RNvNvNvNv":           "_RNvNvNvNv",
		"_RINvC1a1bBs_EBs_":    "_RINvC1a1bBs_EBs_",
		"_RNvC99999999999_x1a": "_RNvC99999999999_x1a",
	} {
		if got := plugin.Demangle(symbol); got != want {
			t.Errorf("%s became %s, want %s", symbol, got, want)
		}
	}
}

func FuzzDemangle(f *testing.F) {
	for _, s := range []string{"_ZN6faulty6broken17h0f869f0792cf434bE", "_RNvMs_NtCs1234_7mycrate7accountNtB4_7Account5apply", "_RTTTTB0_B0_B0_"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, symbol string) {
		if got := plugin.Demangle(symbol); len(got) > 4<<20 {
			t.Errorf("%d bytes became %d", len(symbol), len(got))
		}
	})
}
