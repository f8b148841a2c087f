package admin

import (
	"sync"

	"eshost/host/store"
)

// Changes hears of every commit of this host's plugins, and tells those that wait for one. It is safe for
// concurrent use; the zero Changes is ready.
type Changes struct {
	mu   sync.Mutex
	logs map[string]*changeLog
}

// changeLog is what is known of one plugin's commits.
type changeLog struct {
	waiting chan struct{} // closed by the next commit; nil while nobody waits
}

func (c *Changes) log(plugin string) *changeLog {
	if c.logs == nil {
		c.logs = make(map[string]*changeLog)
	}
	l := c.logs[plugin]
	if l == nil {
		l = &changeLog{}
		c.logs[plugin] = l
	}
	return l
}

// Committed tells of a commit that was applied. It does not block.
func (c *Changes) Committed(plugin string, _ *store.Commit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log(plugin).wake()
}

func (l *changeLog) wake() {
	if l.waiting != nil {
		close(l.waiting)
		l.waiting = nil
	}
}

// moved returns a channel that is closed at the plugin's next commit by this host.
func (c *Changes) moved(plugin string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.log(plugin)
	if l.waiting == nil {
		l.waiting = make(chan struct{})
	}
	return l.waiting
}
