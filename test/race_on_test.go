//go:build race

package test

// raceDetector says that this process compiles modules many times slower than the binary does.
const raceDetector = true
