package forwarded

import "strings"

// readForwarded reads the elements of a Forwarded header (RFC 7239, 4): the hops, and proto and host of the last
// element. An element without an address is a hop that is none; what is not well-formed ends what can be read, from
// the right: everything before it is one hop that is none.
func readForwarded(text string) (hops []string, proto, host string) {
	elements, whole := splitQuoted(text, ',')
	if !whole {
		return nil, "", ""
	}
	for _, element := range elements {
		hop, p, h, ok := readElement(element)
		if !ok {
			hop, p, h = "", "", ""
		}
		hops, proto, host = append(hops, hop), p, h
	}
	return hops, proto, host
}

func readElement(element string) (hop, proto, host string, ok bool) {
	pairs, _ := splitQuoted(element, ';')
	seen := map[string]bool{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(pair, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" && !found {
			continue // a semicolon too many
		}
		value, valid := unquote(strings.TrimSpace(value))
		if !found || !valid || seen[name] {
			return "", "", "", false
		}
		seen[name] = true
		switch name {
		case "for":
			hop = value
		case "proto":
			proto = strings.ToLower(value)
		case "host":
			host = value
		}
	}
	return hop, proto, host, true
}

// splitQuoted splits at a separator outside of quoted strings; whole is false when a quote is left open.
func splitQuoted(text string, separator byte) (parts []string, whole bool) {
	from, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == separator && !quoted:
			parts = append(parts, text[from:i])
			from = i + 1
		}
	}
	return append(parts, text[min(from, len(text)):]), !quoted
}

// unquote takes the quotes of a quoted string away; a token is left as it is.
func unquote(value string) (string, bool) {
	inner, quoted := strings.CutPrefix(value, `"`)
	if !quoted {
		return value, !strings.ContainsAny(value, "\" \t\\")
	}
	inner, closed := strings.CutSuffix(inner, `"`)
	if !closed || strings.ContainsAny(inner, `"\`) { // an address needs no escapes
		return "", false
	}
	return inner, true
}
