// Event streams, and the events [type, data, lastEventId] that an EventSource
// makes of them: by the rules and examples of HTML, "Server-sent events". The
// browsers' own EventSource is held to the same list.

export const STREAMS = {
  "lines of data are joined": { bytes: "data: YHOO\ndata: +2\ndata: 10\n\n", events: [["message", "YHOO\n+2\n10", ""]] },
  "comments, ids, one without a value": {
    bytes: ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    events: [["message", "first event", "1"], ["message", "second event", ""], ["message", " third event", ""]],
  },
  "empty data is an event, and the last block has no end": { bytes: "data\n\ndata\ndata\n\ndata:", events: [["message", "", ""], ["message", "\n", ""]] },
  "one space after the colon is not of the value": { bytes: "data:test\n\ndata: test\n\ndata:\ttest\n\n", events: [["message", "test", ""], ["message", "test", ""], ["message", "\ttest", ""]] },
  "names of events, and an id before nothing": {
    bytes: "event: a\ndata: 1\n\nevent: a\nid: 7\n\ndata: 2\n\nevent:\ndata: 3\n\nevent: ä b\ndata: 4\n\n",
    events: [["a", "1", ""], ["message", "2", "7"], ["message", "3", "7"], ["ä b", "4", "7"]],
  },
  "CR, LF and CRLF end lines": { bytes: "data:1\rdata:2\ndata:3\r\n\r\ndata:4\r\rdata:5\n\n", events: [["message", "1\n2\n3", ""], ["message", "4", ""], ["message", "5", ""]] },
  "one BOM is not of the stream": { bytes: "\uFEFFdata:1\n\n\uFEFFdata:2\n\ndata:3\n\n", events: [["message", "1", ""], ["message", "3", ""]] },
  "an id with NUL does not count": { bytes: "id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", events: [["message", "a", "1"], ["message", "b", "1"]] },
  "fields that are none": { bytes: "data: a\ndata : b\nDATA: c\n data: d\nxdata: e\nfoo\ndata: f\n\n", events: [["message", "a\nf", ""]] },
  "retry with anything but digits does not count": { bytes: "retry: 1x\nretry: -1\nretry: 1e3\ndata: a\n\n", events: [["message", "a", ""]] },
  "bytes that are not UTF-8": { bytes: Buffer.from([0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0xe2, 0x82, 0xac, 0x0a, 0x0a]), events: [["message", "\uFFFD€", ""]] },
  "characters of four bytes": { bytes: "data: 🎈é\n\n", events: [["message", "🎈é", ""]] },
};
