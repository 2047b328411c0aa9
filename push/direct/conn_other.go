//go:build !unix

package direct

import (
	"errors"
	"net"
	"time"
)

const supported = false

// Conn is not available on this platform: New returns nil.
type Conn struct {
	*net.TCPConn
	gone func(error)
}

func newConn(*net.TCPConn, time.Duration) (*Conn, error) { return nil, errors.ErrUnsupported }
func (c *Conn) TryWrite([]byte) (int, error)             { return 0, errors.ErrUnsupported }
func (c *Conn) left()                                    { c.gone(errLeft) }
