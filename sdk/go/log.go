package eshost

// LogDebug writes a line to the host's log, with the plugin's name, for whoever writes the plugin. A plugin that
// uses the Log functions needs "log" in its allow list. A line over 1 KiB is cut, and so is a plugin that floods.
func LogDebug(text string) { hostLog(0, text) }

// LogInfo is for whoever runs the plugin.
func LogInfo(text string) { hostLog(1, text) }

// LogWarn says that something is odd, but the event was handled.
func LogWarn(text string) { hostLog(2, text) }

// LogError says that something is wrong. A handler that fails needs no such line: the error it returns is logged.
func LogError(text string) { hostLog(3, text) }
