package parse

import (
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// LinesFile reads a file of --env-file's or --label-file's kind, as docker does: a line each, empty ones and those that begin with # left
// out, space before the first word dropped.
func LinesFile(flag, name string) ([]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return Lines(flag, string(b))
}

// Lines reads the text of such a file.
func Lines(flag, text string) ([]string, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("--%s: the file is no UTF-8 text", flag)
	}
	var out []string
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line = strings.TrimLeftFunc(strings.TrimRight(line, "\r\n"), unicode.IsSpace)
		key, _, _ := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
			continue
		case key == "" || strings.ContainsFunc(key, unicode.IsSpace):
			return nil, fmt.Errorf("--%s: line %d, %q: the key may not be empty or hold a space", flag, number, line)
		}
		out = append(out, line)
	}
	return out, nil
}
