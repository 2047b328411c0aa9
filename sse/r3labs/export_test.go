package r3labs

// SetMaxIdle sets how many streams clients can leave behind.
func (s *Server) SetMaxIdle(n int) { s.maxIdle = n }
