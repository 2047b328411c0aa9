package rest

import (
	"net/http"
	"time"
)

// sendMessage is the operation whose body can hold a token.
const sendMessage = "sendMessage"

// connectionResources are the REST twins of what a WebSocket client sends.
func connectionResources() []resource {
	subscriptions := []answer{{
		status: 200, says: "What the stream is subscribed to now.", bodies: []string{typeJSON + " Subscriptions"}, headers: []string{"ETag"},
	}}
	return []resource{
		{path: "/connections/{cid}", ops: []operation{{
			method: http.MethodDelete, serve: twin((*request).deleteConnection), id: "closeConnection", does: "End a live stream.",
			gives: []answer{{status: 204, says: "The stream ends."}}, fails: []int{404},
		}}},
		{path: "/connections/{cid}/subscriptions", ops: []operation{
			{
				method: http.MethodGet, serve: twin((*request).getSubscriptions), id: "readSubscriptions", does: "Read what a live stream is subscribed to.",
				gives: subscriptions, fails: []int{404},
			},
			{
				method: http.MethodPatch, serve: twin((*request).patchSubscriptions), id: "changeSubscriptions",
				does: "Add and remove topics of a live stream, all or nothing.", params: []string{"IfMatch"}, takes: []string{typeJSON + " SubscriptionsPatch"},
				gives: subscriptions, fails: []int{400, 404, 408, 412, 413},
			},
		}},
		{path: "/connections/{cid}/messages", ops: []operation{{
			method: http.MethodPost, serve: twin((*request).postMessage), id: sendMessage, does: "Do what the same JSON does as a WebSocket message.",
			takes: []string{typeJSON + " Action"},
			gives: []answer{{status: 200, says: "The result.", bodies: []string{typeJSON + " Result"}}},
			fails: []int{400, 404, 408, 409, 413, 422, 501},
		}}},
		{path: "/connections/{cid}/credentials", ops: []operation{{
			method: http.MethodPut, serve: anybodys((*request).putCredentials), id: "replaceCredentials",
			does: "Have a live stream go on with the credentials of this request.", gives: subscriptions, fails: []int{404},
		}}},
	}
}

// twin serves an operation on the connection that the path names, which must be
// of who asks, on whatever node it is.
func twin(f func(*request, *conn) error) func(*request) error {
	return anybodys(func(q *request, c *conn) error {
		if !c.principal().sameAs(q.who) {
			return noConnection()
		}
		if p := q.countAction(c); p != nil {
			return p
		}
		return f(q, c)
	})
}

// anybodys is twin for an operation that finds out itself whether it may be.
func anybodys(f func(*request, *conn) error) func(*request) error {
	return func(q *request) error {
		if c := q.conns.get(q.arg); c != nil {
			return f(q, c)
		}
		return q.relay()
	}
}

func noConnection() *Problem {
	return problemf(http.StatusNotFound, "there is no such connection, or it is not yours")
}

// countAction refuses one action too many.
func (q *request) countAction(c *conn) *Problem {
	if !c.mayAct() {
		return problemf(http.StatusTooManyRequests, "at most %d actions a second on one connection", q.limits.ConnectionMessages).retryAfter(time.Second)
	}
	return q.limits.message(q.caller(), 1)
}
