//go:build race

package torture

// raceDetector says that the hosts are built with it too.
const raceDetector = true
