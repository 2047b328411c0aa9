package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// result is the JSON line. Zero values are left out where 0 says nothing.
type result struct {
	Key    string `json:"key,omitempty"`
	Name   string `json:"name"`
	Test   string `json:"test"`
	Mode   string `json:"mode"`
	Subs   int    `json:"subs"`
	Topics int    `json:"topics,omitempty"`
	Size   int    `json:"size,omitempty"`

	Established int     `json:"established"`
	Failed      int     `json:"failed,omitempty"`
	Died        int     `json:"died,omitempty"`
	Why         string  `json:"why,omitempty"`
	ConnPerS    float64 `json:"conn_per_s"`
	ConnCPUus   float64 `json:"conn_cpu_us,omitempty"` // server CPU per connection set up

	RSSStartKB  int64   `json:"rss_start_kb,omitempty"`
	RSSIdleKB   int64   `json:"rss_idle_kb,omitempty"`
	KBPerConn   float64 `json:"kb_per_conn,omitempty"`
	KBPerConnGC float64 `json:"kb_per_conn_gc,omitempty"` // after the server freed what it could
	SockKB      float64 `json:"sock_kb_per_conn,omitempty"`
	RSSLoadKB   int64   `json:"rss_load_kb,omitempty"`

	Published  int     `json:"published,omitempty"`
	PubPerS    float64 `json:"pub_per_s,omitempty"`
	Expected   uint64  `json:"expected,omitempty"`
	Received   uint64  `json:"received"`
	Lost       uint64  `json:"lost"`
	Dup        uint64  `json:"dup"`
	OutOfOrder uint64  `json:"out_of_order"`
	DelivPerS  float64 `json:"deliv_per_s,omitempty"`
	CPUus      float64 `json:"cpu_us_per_deliv,omitempty"`
	CoreUs     float64 `json:"core_us_per_deliv,omitempty"`
	CPUusPub   float64 `json:"cpu_us_per_pub,omitempty"`
	SrvShare   float64 `json:"srv_cpu_share,omitempty"`
	LoadShare  float64 `json:"loader_cpu_share,omitempty"`
	P50        float64 `json:"p50_ms,omitempty"`
	P99        float64 `json:"p99_ms,omitempty"`
	P999       float64 `json:"p999_ms,omitempty"`
	Max        float64 `json:"max_ms,omitempty"`
	MaxGap     float64 `json:"max_gap_ms,omitempty"`

	Stalled     int    `json:"stalled,omitempty"`
	StalledShut int    `json:"stalled_closed,omitempty"`
	StopReason  string `json:"stop,omitempty"`

	ReconnectS float64 `json:"reconnect_s,omitempty"`
	CaughtUpS  float64 `json:"caught_up_s,omitempty"`
	Missed     int     `json:"missed,omitempty"`
	ResumeIDs  int     `json:"resume_ids,omitempty"`
	LiveLost   uint64  `json:"live_lost,omitempty"`
}

func (r *result) print(w io.Writer) error {
	j, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", j)
	return err
}

// round4 rounds to four significant digits; what is no number is 0.
func round4(v float64) float64 {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	p := math.Pow(10, 3-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*p) / p
}
