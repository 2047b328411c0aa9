package rest

import "net/http"

// topicResources are what is read and published by topic.
func topicResources() []resource {
	return []resource{
		{path: "/topics/{topic}", streams: true, ops: []operation{
			{
				method: http.MethodGet, serve: (*request).getTopic, id: "readTopic",
				does:   "Read a topic: live, a page of its history, a long poll or, with id, one event; by what the request accepts.",
				params: append([]string{"Id"}, readParams...),
				gives:  readAnswers("PageOrEvent"), fails: []int{400, 404, 406, 410, 431},
			},
			{
				method: http.MethodPost, serve: (*request).publish, id: "publish", does: "Publish an event: the body, of any media type.",
				params: []string{"PushEvent", "PushKey", "IdempotencyKey", "PushConnection"},
				takes:  []string{"*/* Payload"},
				gives:  []answer{{status: 201, says: "The event is in the log.", bodies: []string{typeJSON + " Published"}, headers: []string{"Location"}}},
				fails:  []int{400, 408, 409, 413, 415, 422},
			},
		}},
		{path: "/batch", ops: []operation{{
			method: http.MethodPost, serve: (*request).batch, id: "publishMany", does: "Publish up to 100 events, in order; each has a status of its own.",
			params: []string{"IdempotencyKey", "PushConnection"},
			takes:  []string{typeJSON + " Batch"},
			gives:  []answer{{status: 200, says: "What became of each.", bodies: []string{typeJSON + " BatchResult"}}},
			fails:  []int{400, 408, 413, 415},
		}}},
		{path: "/events", streams: true, ops: []operation{{
			method: http.MethodGet, serve: (*request).getEvents, id: "readTopics",
			does:   "Read many topics and patterns as one: live, a page of their history or a long poll; by what the request accepts.",
			params: append([]string{"Topic"}, readParams...),
			gives:  readAnswers("Page"), fails: []int{400, 406, 431},
		}}},
	}
}

var readParams = []string{"After", "Before", "Last", "Limit", "Format", "LastEventId", "Prefer", "IfNoneMatch"}

func readAnswers(page string) []answer {
	return []answer{
		{status: 101, says: "A WebSocket."},
		{
			status: 200, says: "A page, or a live stream.",
			bodies:  []string{typeJSON + " " + page, typeSSE + " Stream", typeNDJSON + " Stream"},
			headers: []string{"ETag", "Link", "PreferenceApplied"},
		},
		{status: 304, says: "The client has it already.", headers: []string{"ETag"}},
	}
}
