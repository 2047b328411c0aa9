package middleware_test

import (
	"encoding/json"
	"net"
	"net/http"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

func TestClientIsWhoTheAppSays(t *testing.T) {
	_, loopback, _ := net.ParseCIDR("127.0.0.0/8")
	extractor := echo.ExtractIPFromXFFHeader(echo.TrustLoopback(false), echo.TrustIPRange(loopback))
	for name, c := range map[string]struct {
		extract echo.IPExtractor
		trusted []string
		want    string
	}{
		"nobody is trusted":         {nil, nil, "127.0.0.1"}, // what Echo's RealIP says then anybody can forge
		"Echo's IPExtractor":        {extractor, nil, "203.0.113.7"},
		"TrustedProxies":            {nil, []string{"127.0.0.1"}, "203.0.113.7"},
		"TrustedProxies come first": {echo.ExtractIPDirect(), []string{"127.0.0.1"}, "203.0.113.7"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t)
			a.echo.IPExtractor = c.extract
			got := make(chan string, 1)
			told := func(conn middleware.Connection) { got <- conn.ClientIP }
			cfg, live := a.config(), a.live()
			cfg.TrustedProxies, cfg.OnOpen = c.trusted, told
			live.TrustedProxies, live.OnOpen = c.trusted, told
			middleware.Mount(a.echo.Group("/push"), a.hub, cfg)
			a.echo.GET("/wall", func(c echo.Context) error { return c.String(200, "x") }, middleware.LiveWithConfig(live))
			a.start()
			for _, path := range []string{"/push/topics/wall", "/wall"} {
				a.follow(path, "X-Forwarded-For: 1.1.1.1, 203.0.113.7")
				if ip := <-got; ip != c.want {
					t.Errorf("%s: the client is %s, want %s", path, ip, c.want)
				}
			}
		})
	}
}

func TestLiveRoutesAreLimitedByAddress(t *testing.T) {
	a := newApp(t)
	live := a.live()
	live.TrustedProxies, live.Limits = []string{"127.0.0.1"}, middleware.Limits{AddressConnections: 1}
	a.echo.GET("/wall", func(c echo.Context) error { return c.String(http.StatusOK, "x") }, middleware.LiveWithConfig(live))
	a.start()
	const one, other = "X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 203.0.113.8"
	a.follow("/wall", one)
	var end struct{ Code int }
	if err := json.Unmarshal(a.open("/wall", one).expect("push.close").Data, &end); err != nil || end.Code != push.CloseOverload {
		t.Errorf("a second stream of the address: %v, %+v", err, end)
	}
	if c, res := a.dial("/wall", "", one); c != nil || res.StatusCode != http.StatusTooManyRequests {
		t.Error("a WebSocket of the address was opened")
	}
	a.follow("/wall", other)
	a.expect(http.StatusOK, a.get("/wall", one))
}
