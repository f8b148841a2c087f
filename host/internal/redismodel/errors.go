package redismodel

import (
	"errors"
	"fmt"
	"strings"

	"eshost/host/event"
	"eshost/host/store"
)

var (
	// ErrGone is returned when Redis has no read model of the plugin: it was never built, or Redis has lost it.
	ErrGone = errors.New("there is no read model of the plugin in Redis")
	// ErrDamaged is returned when Redis has lost a part of the read model. Whoever owns the plugin builds it anew.
	ErrDamaged = errors.New("the read model in Redis is damaged")
	// ErrForeign is returned when what is in Redis under the plugin's keys is the read model of another database. It is left
	// as it is.
	ErrForeign = errors.New("the read model in Redis is another database's")
	// ErrRebuilding is returned to those who read documents before the read model is ready.
	ErrRebuilding = errors.New("the read model in Redis is being built")
	// errTaken is returned when the read model was begun anew or taken over since the session began.
	errTaken = errors.New("the read model in Redis was taken over")
	// errRepeated is returned when a commit was applied before.
	errRepeated = errors.New("the commit was applied before")
	// errChanged is returned when the read model changed between a look at it and what was done about it.
	errChanged = errors.New("the read model in Redis changed meanwhile")
)

// foreign says whose read model it is, and what to do. One that does not say is of an eshost that wrote no such thing, or
// has lost it: it is built anew.
func (r *Reader) foreign(database string) error {
	if database == "" {
		return fmt.Errorf("%w: it does not say which database it is of", ErrDamaged)
	}
	return fmt.Errorf("%w: %s is of database %s, and this one is %s. If both are in use, give one of them another redis.prefix in its hosts.toml. "+
		"If the other one is gone, because this one was made anew in its place, free the keys and it is built from this one: redis-cli DEL '%s'",
		ErrForeign, r.keys.meta(), shorten(database), r.database, r.keys.meta())
}

// shorten makes what somebody else has written fit to be shown.
func shorten(text string) string {
	const most = 80
	return strings.ToValidUTF8(text[:min(len(text), most)], "?")
}

// verdict is what a script says instead of ok.
func (r *Reader) verdict(answer []any, epoch int64) error {
	word, detail := text(answer, 0), text(answer, 1)
	switch word {
	case "ok":
		return nil
	case "gone":
		return ErrGone
	case "foreign":
		return r.foreign(detail)
	case "damaged":
		return fmt.Errorf("%w: %s", ErrDamaged, detail)
	case "rebuilding":
		p := Progress{State: Rebuilding, Position: event.Position(number(detail)), Head: event.Position(number(text(answer, 2)))}
		return fmt.Errorf("%w: %s", ErrRebuilding, p.Describe())
	case "moved":
		return fmt.Errorf("%w: it is at %s", store.ErrCheckpointMoved, detail)
	case "repeated":
		return errRepeated
	case "changed":
		return errChanged
	case "taken":
		if number(detail) > epoch {
			return fmt.Errorf("%w: the read model in Redis has seen epoch %s", store.ErrLeaseLost, detail)
		}
		return errTaken
	}
	return fmt.Errorf("the script answered %q", word)
}

// notBuilt makes an error for those who read, who can do nothing about it but wait.
func notBuilt(err error) error {
	if errors.Is(err, ErrGone) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) || errors.Is(err, ErrRebuilding) {
		return fmt.Errorf("%w: %w", store.ErrNotBuilt, err)
	}
	return err
}

// damage makes an error about a key that is not what it should be an ErrDamaged.
func damage(err error) error {
	if err != nil && strings.HasPrefix(err.Error(), "WRONGTYPE") || err != nil && strings.Contains(err.Error(), "WRONGTYPE Operation") {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}
