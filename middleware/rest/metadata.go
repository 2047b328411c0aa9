package rest

import (
	"net/http"
)

// metadataPath is where RFC 9728 section 3.1 has a resource's metadata: before
// the resource's own path.
const metadataPath = "/.well-known/oauth-protected-resource"

// ResourceMetadata is the document of RFC 9728 section 2.
type ResourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// MetadataPath returns the path, at the root of the host, at which ServeMetadata
// has to be reachable for a mount under prefix.
func MetadataPath(prefix string) string { return metadataPath + prefix }

// ServeMetadata answers with where tokens for a mount under prefix come from.
// It is 404 for a mount whose Auth is no ProtectedResource.
func (h *Handler) ServeMetadata(w http.ResponseWriter, r *http.Request, prefix string) {
	if p := h.origins.checkHost(r); p != nil {
		p.Write(w)
		return
	}
	if secretsOf(Redact(r)).token {
		q := request{Handler: h, prefix: prefix}
		q.tokenInURL().Write(w)
		return
	}
	if h.resource == nil {
		problemf(http.StatusNotFound, "this mount takes no bearer tokens").Write(w)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*") // it is public
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_ = writeJSON(w, http.StatusOK, ResourceMetadata{ // it always encodes
		Resource:             h.origins.public + prefix,
		AuthorizationServers: h.resource.AuthorizationServers(),
		ScopesSupported:      h.resource.ScopesSupported(),
		BearerMethods:        []string{"header"},
	})
}
