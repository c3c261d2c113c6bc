package sessiontest

import (
	"strconv"
	"time"
)

// atSecond takes "at SECOND", Slack's time of a reaction, from the end of a line's words; zero if it has none.
func atSecond(w []string) ([]string, time.Time) {
	if len(w) < 2 || w[len(w)-2] != "at" {
		return w, time.Time{}
	}
	n, _ := strconv.Atoi(w[len(w)-1])
	return w[:len(w)-2], Epoch.Add(time.Duration(n) * time.Second)
}
