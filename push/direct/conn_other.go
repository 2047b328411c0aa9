//go:build !unix

package direct

import (
	"errors"
	"net"
	"syscall"
	"time"
)

const supported = false

// Conn is not available on this platform: New returns nil.
type Conn struct {
	*net.TCPConn
	raw syscall.RawConn
}

func newConn(*net.TCPConn, time.Duration) (*Conn, error) { return nil, errors.ErrUnsupported }
func (c *Conn) TryWrite([]byte) (int, error)             { return 0, errors.ErrUnsupported }
func (c *Conn) Await(func()) error                       { return errors.ErrUnsupported }
func (c *Conn) fired()                                   {}
