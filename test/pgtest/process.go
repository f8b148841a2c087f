package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// watchdog runs the server ("$@") and ends with it. Its child reads a pipe from the process that owns
// the server: each line is the name of a signal for the server, or "leave". The pipe's end is that
// process's end, and then the server and its folder ($DIR) must go.
const watchdog = `
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{
	while read -r word <&3; do
		if [ "$word" = leave ]; then exit; fi
		kill -s "$word" $server
	done
	if [ -f "$DIR/data/postmaster.pid" ]; then
		kill -s QUIT $server
		while kill -0 $server; do sleep 0.1; done
	fi
	rm -rf "$DIR"
} 2>/dev/null &
exec 3<&-
wait $server
`

// process is one run of a server, and its watchdog.
type process struct {
	cmd  *exec.Cmd
	pipe *os.File      // closed by the operating system if we cannot
	done chan struct{} // closed when the server is gone
}

// launch starts the server's process and does not wait for it to answer.
func (s *Server) launch() (*process, error) {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the watchdog's pipe: %w", err)
	}
	defer read.Close()

	args := []string{"-c", watchdog, "watchdog", filepath.Join(s.bin, "postgres"), "-D", s.Data(), "-p", strconv.Itoa(s.port)}
	for _, setting := range s.conf {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = s.dir
	cmd.Env = append(s.environment(), "DIR="+s.dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = read, log, log
	// A group of its own: the terminal's interrupt is for the tests, which stop the server then.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.account.credential}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start postgres: %w", err), write.Close())
	}
	p := &process{cmd: cmd, pipe: write, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how a server that is no longer wanted ends does not matter
	}()
	return p, nil
}

// signal sends the server a signal and waits until it is gone.
func (p *process) signal(name string) error {
	_, err := fmt.Fprintln(p.pipe, name)
	select {
	case <-p.done: // perhaps long before the signal
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("postgres does not stop (%v); its process group is %d", err, p.cmd.Process.Pid)
	}
}

// leave lets the watchdog of a server that is gone go too.
func (p *process) leave() error {
	_, err := fmt.Fprintln(p.pipe, "leave")
	return errors.Join(err, p.pipe.Close())
}
