package r3labs

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/dualpush-go/dualpush/push"
)

// encodedPrefix starts the topics of streams whose id is no topic itself.
const encodedPrefix = "r3labs/"

// Topic returns the topic of a stream: its id, if that is a topic; else
// "r3labs/" and the id in base64url, or for one that is long or empty
// "r3labs/sha256/" and its hash. No two streams share a topic.
func Topic(streamID string) string {
	if push.CheckTopic(streamID) == nil && !strings.HasPrefix(streamID, encodedPrefix) {
		return streamID
	}
	if n := base64.RawURLEncoding.EncodedLen(len(streamID)); n > 0 && n+len(encodedPrefix) <= push.MaxTopicLen {
		return encodedPrefix + base64.RawURLEncoding.EncodeToString([]byte(streamID))
	}
	sum := sha256.Sum256([]byte(streamID))
	return encodedPrefix + "sha256/" + base64.RawURLEncoding.EncodeToString(sum[:])
}
