package sse_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dualpush-go/dualpush/push"
	"github.com/dualpush-go/dualpush/sse"
)

// plain hides everything but the three methods.
type plain struct{ http.ResponseWriter }

// claimer claims to be a Flusher whatever it wraps, as echo.Response does.
type claimer struct{ w http.ResponseWriter }

func (c claimer) Header() http.Header         { return c.w.Header() }
func (c claimer) Write(b []byte) (int, error) { return c.w.Write(b) }
func (c claimer) WriteHeader(code int)        { c.w.WriteHeader(code) }
func (c claimer) Unwrap() http.ResponseWriter { return c.w }
func (c claimer) Flush()                      { c.w.(http.Flusher).Flush() }

// unwrapper only unwraps.
type unwrapper struct{ claimerLess }

type claimerLess struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// Failure 10.
func TestWrapperThatHidesFlushIsNamedBeforeTheStatusLine(t *testing.T) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"hidden":               func(w http.ResponseWriter) http.ResponseWriter { return plain{w} },
		"hidden below a claim": func(w http.ResponseWriter) http.ResponseWriter { return claimer{plain{w}} },
		"hidden deep down":     func(w http.ResponseWriter) http.ResponseWriter { return unwrapper{claimerLess{claimer{plain{w}}}} },
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			err := serveTo(t, wrap(rec))
			if !errors.Is(err, sse.ErrNoFlush) || !strings.Contains(err.Error(), "sse_test.plain") {
				t.Error(err)
			}
			if rec.Flushed || rec.Body.Len() > 0 || rec.Result().Header.Get("Content-Type") != "" {
				t.Errorf("written before: %v", rec)
			}
		})
	}
}

func TestWrappersThatPassFlushOnAreFine(t *testing.T) {
	for name, wrap := range map[string]func(http.ResponseWriter) http.ResponseWriter{
		"none":      func(w http.ResponseWriter) http.ResponseWriter { return w },
		"unwrapper": func(w http.ResponseWriter) http.ResponseWriter { return unwrapper{claimerLess{w}} },
		"claimer":   func(w http.ResponseWriter) http.ResponseWriter { return claimer{w} },
	} {
		t.Run(name, func(t *testing.T) {
			rec := httptest.NewRecorder()
			var end *push.CloseError
			if err := serveTo(t, wrap(rec)); !errors.As(err, &end) {
				t.Error(err)
			}
			if !rec.Flushed || !strings.Contains(rec.Body.String(), "event: push.close\n") {
				t.Errorf("%v", rec)
			}
		})
	}
}

// http.TimeoutHandler, like Echo's Timeout, has such a writer (failure 7).
func TestTimeoutHandlerIsNamed(t *testing.T) {
	var err error
	h := http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		err = serveTo(t, w)
		http.Error(w, "cannot stream here", http.StatusInternalServerError)
	}), 1e9, "")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	if !errors.Is(err, sse.ErrNoFlush) || !strings.Contains(err.Error(), "*http.timeoutWriter") || rec.Code != http.StatusInternalServerError {
		t.Error(err, rec.Code)
	}
}

// serveTo serves a stream that the hub ends at once.
func serveTo(t *testing.T, w http.ResponseWriter) error {
	t.Helper()
	hub := push.New()
	sub, err := hub.Subscribe(t.Context(), []string{"t"}, push.FromHead())
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	sub.Disconnect(&push.CloseError{Code: push.CloseForbidden})
	return sse.Serve(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), sub, nil)
}

// deadlines records what is set.
type deadlines struct {
	*httptest.ResponseRecorder
	read, write []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error  { d.read = append(d.read, t); return nil }
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.write = append(d.write, t); return nil }

// net/http lifts the read deadline by itself; other servers may not.
func TestReadDeadlineIsLifted(t *testing.T) {
	d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	_ = serveTo(t, d)
	if len(d.read) != 1 || !d.read[0].IsZero() {
		t.Error(d.read)
	}
	if len(d.write) != 1 {
		t.Error("a deadline is set with every write: ", d.write)
	}
}
