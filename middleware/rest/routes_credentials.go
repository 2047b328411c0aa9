package rest

import "net/http"

// credentialResources are about who may do what, and for how long.
func credentialResources() []resource {
	return []resource{
		{path: "/tickets", ops: []operation{{
			method: http.MethodPost, serve: (*request).postTicket, id: "fetchTicket",
			does:  "Fetch a ticket for a stream of a client that cannot send headers.",
			takes: []string{typeJSON + " TicketRequest"},
			gives: []answer{{
				status: 201, says: "It opens one stream; with the resume cookie it opens it again.",
				bodies: []string{typeJSON + " Ticket"},
			}},
			fails: []int{400, 408, 413},
		}}},
		{path: "/revocations", ops: []operation{{
			method: http.MethodPost, serve: (*request).postRevocation, id: "revoke",
			does:  "Make credentials void, on every node. It takes a grant to manage everything.",
			takes: []string{typeJSON + " Revocation"},
			gives: []answer{{status: 204, says: "Streams with them end within a second."}},
			fails: []int{400, 408, 413},
		}}},
	}
}
