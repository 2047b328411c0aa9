package main

import (
	"slices"
	"strconv"
	"strings"
)

// head reads the response head and moves the connection on. It reports whether
// a body follows.
func (l *loader) head(c *conn, head string) bool {
	lines := strings.Split(head, "\r\n")
	if !l.acceptable(lines[0]) {
		l.fail(c, lines[0])
		return false
	}
	length := int64(-1)
	for _, h := range lines[1:] {
		k, v, _ := strings.Cut(h, ":")
		k, v = strings.ToLower(k), strings.TrimSpace(v)
		switch {
		case k == "transfer-encoding" && strings.Contains(strings.ToLower(v), "chunked"):
			c.body = body{chunked: true}
		case k == "content-length":
			length, _ = strconv.ParseInt(v, 10, 64)
		}
		if l.cfg.mode == "poll" {
			l.pollHeader(c, k, v)
		}
	}
	switch l.cfg.mode {
	case "ws":
		return l.opened(c)
	case "poll":
		return l.polled(c, length)
	}
	l.live(c)
	return true
}

func (l *loader) acceptable(status string) bool {
	f := strings.Fields(status)
	if len(f) < 2 {
		return false
	}
	switch l.cfg.mode {
	case "ws":
		return f[1] == "101"
	case "poll": // 408 is how some end a wait
		return slices.Contains([]string{"200", "204", "304", "408"}, f[1])
	}
	return f[1] == "200"
}

// opened says hello on a WebSocket.
func (l *loader) opened(c *conn) bool {
	hello := l.cfg.hello
	if c.last != "" && len(l.cfg.helloResume) > 0 {
		hello = l.cfg.helloResume
	}
	for _, h := range hello {
		l.sendWS(c, 1, []byte(l.expand(c, h)))
	}
	if l.cfg.ready != "" {
		c.st = stReady
		return true
	}
	l.live(c)
	return true
}

// pollHeader keeps a header that is a cursor for the next request.
func (l *loader) pollHeader(c *conn, name, value string) {
	for _, p := range l.cfg.pollCursor { // "etag=If-None-Match"
		from, to, _ := strings.Cut(p, "=")
		if !strings.EqualFold(from, name) {
			continue
		}
		i := slices.IndexFunc(c.h304, func(h [2]string) bool { return h[0] == to })
		if i < 0 {
			i = len(c.h304)
			c.h304 = append(c.h304, [2]string{to, ""})
		}
		c.h304[i][1] = value
	}
}

func (l *loader) polled(c *conn, length int64) bool {
	c.st = stLive
	c.body.poll = true
	if c.body.chunked {
		return true
	}
	if c.body.left = max(length, 0); c.body.left == 0 {
		l.pollAgain(c)
		return false
	}
	return true
}

// pollTail is where a page has its cursor: the last so many bytes.
const pollTail = 256

func (l *loader) pollAgain(c *conn) {
	if l.cfg.bodyCursor() {
		l.findLast(c, c.tail[max(0, len(c.tail)-pollTail):])
	}
	c.body, c.st = body{}, stHead
	l.write(c, l.request(c))
}

// findLast looks for the last event id in text.
func (l *loader) findLast(c *conn, text []byte) bool {
	m := l.idRe.FindAllSubmatch(text, -1)
	if len(m) == 0 {
		return false
	}
	c.last = string(m[len(m)-1][1])
	return true
}
