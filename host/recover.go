package host

import (
	"context"
	"errors"
	"fmt"

	"eshost/host/store"
)

const (
	// WentBackHint says what to do when the log went back while it was read.
	WentBackHint = "if the whole database was restored, start the hosts again; if only the events were, rebuild the read models: " +
		"eshost recover says which; if the sequence was set back, set it above the highest position"
	// divergedHint says what to do about a log that is not the one that the read models were made of.
	divergedHint = "restore the whole database, events and read models of one moment; or take this log and rebuild the read models: eshost recover"
)

// checkLog refuses a log that does not bear the checkpoints out: what has taken the places of events that are gone would
// be skipped.
func (h *Host) checkLog(ctx context.Context) error {
	diverged, err := h.store.Diverged(ctx)
	if err != nil || len(diverged) == 0 {
		return err
	}
	var errs []error
	const most = 5
	for i := range diverged[:min(len(diverged), most)] {
		errs = append(errs, &diverged[i])
	}
	if more := len(diverged) - most; more > 0 {
		errs = append(errs, fmt.Errorf("%w: and %d more", store.ErrLogWentBack, more))
	}
	return storeError("store "+h.store.Describe(), errors.Join(errs...), divergedHint)
}
