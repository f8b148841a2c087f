package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// expandAll replaces ${NAME} in a text, or in every text of a list, by the environment's NAME.
func expandAll(v any, getenv func(string) string) (any, error) {
	switch v := v.(type) {
	case string:
		return expand(v, getenv)
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			expanded, err := expandAll(item, getenv)
			if err != nil {
				return nil, err
			}
			list[i] = expanded
		}
		return list, nil
	}
	return v, nil
}

// expand replaces each ${NAME}. $${ stands for ${ itself. What a variable holds is not expanded again.
func expand(s string, getenv func(string) string) (string, error) {
	var out strings.Builder
	for {
		at := strings.Index(s, "${")
		if at < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if at > 0 && s[at-1] == '$' {
			out.WriteString(s[:at-1] + "${")
			s = s[at+2:]
			continue
		}
		m := variable.FindStringSubmatch(s[at:])
		if m == nil {
			return "", errors.New(`has a "${" that is no variable such as "${DB_PASSWORD}"; write "$${" for a plain "${"`)
		}
		value := getenv(m[1])
		if value == "" {
			return "", fmt.Errorf("the environment variable %s is not set", m[1])
		}
		out.WriteString(s[:at] + value)
		s = s[at+len(m[0]):]
	}
}
