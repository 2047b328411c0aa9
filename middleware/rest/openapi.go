package rest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// components are the schemas, parameters and headers that the table of
// resources names.
//
//go:embed components.json
var components json.RawMessage

func openAPIResource() resource {
	return resource{path: "/openapi.json", ops: []operation{{
		method: http.MethodGet, serve: (*request).getOpenAPI, open: true, id: "readDescription", does: "Read this description of the interface.",
		params: []string{"IfNoneMatch"},
		gives: []answer{
			{status: 200, says: "An OpenAPI 3.1 document.", bodies: []string{typeJSON + " Description"}, headers: []string{"ETag"}},
			{status: 304, says: "The client has it already.", headers: []string{"ETag"}},
		},
	}}}
}

// getOpenAPI answers with the description of the mount.
func (q *request) getOpenAPI() error {
	server := q.origins.public + q.prefix
	if server == "" {
		server = "/"
	}
	doc, err := json.Marshal(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "dualpush", "version": "1",
			"description": "Publish events, and read them live or later: every reading URL answers with server-sent events, WebSocket, JSON pages or long polls.",
		},
		"servers":    []any{map[string]any{"url": server}},
		"security":   []any{map[string]any{}, map[string]any{"bearer": []string{}}, map[string]any{"ticket": []string{}}},
		"paths":      describe(q.routes),
		"components": components,
	})
	if err != nil {
		return err
	}
	doc = append(doc, '\n')
	sum := sha256.Sum256(doc)
	q.writeTagged(typeJSON, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`, doc)
	return nil
}

// describe returns the paths object (OpenAPI 3.1 section 4.8.8).
func describe(resources []resource) map[string]any {
	paths := map[string]any{}
	for _, r := range resources {
		item := map[string]any{}
		if _, v, ok := strings.Cut(r.path, "{"); ok {
			v, _, _ = strings.Cut(v, "}")
			item["parameters"] = []any{ref("parameters", v+"Path")}
		}
		for i := range r.ops {
			item[strings.ToLower(r.ops[i].method)] = r.ops[i].describe()
		}
		paths[r.path] = item
	}
	return paths
}

func (op *operation) describe() map[string]any {
	d := map[string]any{"operationId": op.id, "summary": op.does, "responses": op.responses()}
	if op.open {
		d["security"] = []any{}
	}
	if op.params != nil {
		d["parameters"] = refs("parameters", op.params)
	}
	if op.takes != nil {
		d["requestBody"] = map[string]any{"required": true, "content": content(op.takes)}
	}
	return d
}

func (op *operation) responses() map[string]any {
	all := map[string]any{}
	for _, a := range op.gives {
		r := map[string]any{"description": a.says}
		if a.bodies != nil {
			r["content"] = content(a.bodies)
		}
		if a.headers != nil {
			r["headers"] = headers(a.headers)
		}
		all[strconv.Itoa(a.status)] = r
	}
	for _, status := range append(commonFailures(op), op.fails...) {
		all[strconv.Itoa(status)] = failure(status)
	}
	return all
}

// commonFailures are those that do not depend on what an operation does: no or
// bad credentials, not granted or a foreign origin, another host, a limit, the
// server's own failure, and what is so only for now.
func commonFailures(op *operation) []int {
	if op.open {
		return []int{http.StatusMisdirectedRequest}
	}
	return []int{
		http.StatusUnauthorized, http.StatusForbidden, http.StatusMisdirectedRequest, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
}

func failure(status int) map[string]any {
	r := map[string]any{"description": http.StatusText(status), "content": content([]string{typeProblem + " Problem"})}
	switch status {
	case http.StatusUnauthorized:
		r["headers"] = headers([]string{"WWWAuthenticate"})
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r["headers"] = headers([]string{"RetryAfter"})
	}
	return r
}

// content returns a content object of bodies, each "media/type Schema".
func content(bodies []string) map[string]any {
	c := map[string]any{}
	for _, b := range bodies {
		mediaType, schema, _ := strings.Cut(b, " ")
		c[mediaType] = map[string]any{"schema": ref("schemas", schema)}
	}
	return c
}

// headerNames are those of components/headers on the wire.
var headerNames = map[string]string{
	"PreferenceApplied": "Preference-Applied", "RetryAfter": "Retry-After", "WWWAuthenticate": "WWW-Authenticate",
}

func headers(names []string) map[string]any {
	h := map[string]any{}
	for _, name := range names {
		wire := name
		if w := headerNames[name]; w != "" {
			wire = w
		}
		h[wire] = ref("headers", name)
	}
	return h
}

func refs(kind string, names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = ref(kind, name)
	}
	return list
}

func ref(kind, name string) map[string]any {
	return map[string]any{"$ref": "#/components/" + kind + "/" + name}
}
