package delivery

import (
	"context"

	"eshost/host/store"
)

// Remark has the store say something about the plugin as a whole beside whether this runner moves and why not, such as
// what a person waits for; "" takes it back. Status does not have it. It may be called again and again.
func (r *Runner) Remark(text string) {
	r.mu.Lock()
	differs := r.remark != text
	r.remark = text
	r.mu.Unlock()
	if differs {
		r.ask()
	}
}

func (r *Runner) remarked() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remark
}

// explainAgain records why delivery stands still between two sessions, where the remark beside it has changed.
func (r *Runner) explainAgain(ctx context.Context, last *session) {
	if last == nil || last.remark == r.remarked() {
		return
	}
	st := r.Status()
	if err := last.explain(ctx, store.ConditionState(st.State), st.Reason); err != nil {
		r.o.Logger.Debug("cannot record a remark", "error", err)
	}
}
