package plugin

// WatchRefuel has f called with the fuel that is left, mostly below zero, whenever a guest of a module that is loaded from
// now on asks for more.
func (e *Engine) WatchRefuel(f func(left int64)) {
	refuel := e.served[e.opts.Meter.Module][e.opts.Meter.Refuel]
	call := refuel.call
	refuel.call = func(in *Instance, stack []uint64) {
		f(int64(in.fuel.Get()))
		call(in, stack)
	}
}
