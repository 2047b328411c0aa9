package ws_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dualpush-go/dualpush/push"
)

// FuzzClientBytes sends anything after the handshake: the server must not fail,
// must answer in sound frames, and must end.
func FuzzClientBytes(f *testing.F) {
	for _, protocol := range []string{"", "push.v1"} {
		f.Add(protocol, masked(fin|opText, `{"action":"publish","ref":"1","data":1}`))
		f.Add(protocol, masked(fin|opPing, "x"))
		f.Add(protocol, masked(fin|opClose, "\x03\xE8bye"))
		f.Add(protocol, append(masked(opText, "a"), masked(fin, "\xFF")...))
		f.Add(protocol, []byte{fin | opBinary, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0})
		f.Add(protocol, bytes.Repeat(masked(fin|opPong, ""), 70))
		f.Add(protocol, []byte(strings.Repeat("\x00\x80\x00\x00\x00\x00", 50)))
	}
	f.Fuzz(func(t *testing.T, protocol string, b []byte) {
		if protocol != "push.v1" {
			protocol = ""
		}
		synctest.Test(t, func(t *testing.T) {
			s := overPipe(t)
			s.opts.Actions = accepting
			c := s.dial(protocol, "")
			read := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(c.br)
				read <- all
			}()
			s.publish("a", "event")
			_, _ = c.Write(b)
			synctest.Wait()
			s.hub.Disconnect(func(*push.Subscription) bool { return true }, nil)
			_ = s.end()
			fs := parseAll(t, <-read)
			for i, f := range fs {
				if f.op == opClose && i != len(fs)-1 {
					t.Fatalf("after the close frame: %v", fs[i:])
				}
			}
		})
	})
}
