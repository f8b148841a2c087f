package eshost

import "unsafe"

// ConfigGet returns a setting of the plugin, from the table [plugins.NAME.config] in hosts.toml, and whether it is there.
func ConfigGet(key string) (value string, found bool, err error) {
	data, errno := answer(func(buf unsafe.Pointer, size uint32) int64 {
		return hostConfigGet(key, buf, size)
	})
	data, found, err = lookup(data, errno, "config_get", key)
	return string(data), found, err
}
