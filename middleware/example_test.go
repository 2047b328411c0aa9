package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/dualpush-go/dualpush/middleware"
	"github.com/dualpush-go/dualpush/push"
)

func ExampleMount() {
	hub := push.New()
	e := echo.New()
	middleware.Mount(e.Group("/push"), hub, middleware.Config{
		Auth: middleware.Public(push.Sub("wall"), push.Pub("wall")),
	})
	server := httptest.NewServer(e)
	defer server.Close()

	res, err := http.Post(server.URL+"/push/topics/wall", "text/plain", strings.NewReader("hello"))
	if err != nil {
		panic(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.Status)

	page, err := hub.History(context.Background(), push.Query{Topics: []string{"wall"}})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s\n", page.Events[0].Data)
	// Output:
	// 201 Created
	// hello
}

func ExampleLive() {
	hub := push.New()
	e := echo.New()
	e.GET("/orders/:id", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]string{"order": c.Param("id"), "state": "new"})
	}, middleware.Live(hub))
	server := httptest.NewServer(e)
	defer server.Close()

	res, err := http.Get(server.URL + "/orders/42") // and EventSource, WebSocket and long polls at the same URL
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	fmt.Printf("%s", body)
	fmt.Println(res.Header.Get("Push-Cursor") != "")
	// Output:
	// {"order":"42","state":"new"}
	// true
}

func ExampleOIDC() {
	hub, e := push.New(), echo.New()
	auth := middleware.OIDC(middleware.OIDCConfig{
		Issuer:   "https://id.example.com",
		Audience: "https://api.example.com/push",
		Scopes:   middleware.ScopeMap{"chat.read": {push.Sub("chat/**")}, "chat.write": {push.Pub("chat/**")}},
	})
	middleware.Mount(e.Group("/push"), hub, middleware.Config{
		Auth: auth, PublicURL: "https://api.example.com", Origins: []string{"https://app.example.com"},
	}).WellKnown(e)

	r := httptest.NewRequest(http.MethodGet, "https://api.example.com/push/topics/chat/1", http.NoBody)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output:
	// 401 Bearer resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/push"
}
