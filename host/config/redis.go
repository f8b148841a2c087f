package config

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Redis is the [redis] section: what makes hosts faster that share a database. Nothing that matters is kept there.
type Redis struct {
	// URL is redis://USER:PASSWORD@HOST:PORT/DB, or rediss://… for TLS. Empty means that there is none.
	// Defaults to none.
	URL string
	// Prefix begins the name of every key and channel. Defaults to eshost.
	Prefix string
	// Timeout bounds connecting, and each command. Defaults to 1s.
	Timeout time.Duration
	// Changes publishes which documents each commit changed. Defaults to false.
	Changes bool
}

func readRedis(root *table, r *Redis) {
	t, ok := root.table("redis")
	if !ok {
		return
	}
	r.URL = read(t, "url", r.URL, redisURL())
	r.Prefix = read(t, "prefix", r.Prefix, redisPrefix())
	r.Timeout = read(t, "timeout", r.Timeout, duration(10*time.Millisecond, time.Minute, "1s"))
	r.Changes = read(t, "changes", r.Changes, yesOrNo())
	_, here := root.values["redis"]
	if _, named := t.values["url"]; here && !named {
		root.mistake("redis", `has no url; add url = "redis://127.0.0.1:6379/0", or remove the section`)
	}
	t.close()
}

// redisURL is where a Redis is. It may hold a password, so it is never shown.
func redisURL() rule[string] {
	return rule[string]{"", func(v any) (string, error) {
		s, _ := v.(string)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || u.Fragment != "" {
			return "", errors.New(`must be "redis://USER:PASSWORD@HOST:PORT/DB", or rediss:// for TLS, ` +
				`with anything special in the password percent-encoded`)
		}
		if u.RawQuery != "" {
			return "", errors.New("must have nothing after a \"?\": redis.timeout and redis.prefix are keys of their own")
		}
		if port, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || port < 1 || port > 65535) {
			return "", errors.New("must have a port from 1 to 65535")
		}
		if db := strings.Trim(u.Path, "/"); db != "" {
			if n, err := strconv.Atoi(db); err != nil || n < 0 || n > 1_000_000 {
				return "", errors.New(`must end with the number of a database, such as "/0", or nothing`)
			}
		}
		return s, nil
	}}
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

func redisPrefix() rule[string] {
	return text("1 to 100 characters of a-z, A-Z, 0-9, _, -, . and :, the first a letter or digit", prefixPattern.MatchString)
}

func yesOrNo() rule[bool] {
	return rule[bool]{"true or false", func(v any) (bool, error) {
		b, ok := v.(bool)
		if !ok {
			return false, errUnfit
		}
		return b, nil
	}}
}
