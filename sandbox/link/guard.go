package link

import (
	"encoding/binary"
	"errors"
	"net"
	"sync/atomic"
)

// maxPings is how many pings of the other end may wait for their answers. It sends one at a time, every 10 s.
const maxPings = 32

var errPings = errors.New("link: the other end sends pings faster than it takes the answers")

// guard ends the connection when the other end floods it with pings. yamux answers each from a goroutine of its own, so that an end which only
// writes and never reads could fill this one's memory.
type guard struct {
	net.Conn
	pings atomic.Int32 // read and not yet answered

	// Where in the other end's frames the bytes read so far end. Only Read uses these.
	header [headerSize]byte
	have   int    // bytes of header
	body   uint32 // bytes of the frame's body that are still to come
}

// The parts of a frame's header that matter here; see headerSize.
const (
	typeData = 0
	typePing = 2
	flagSYN  = 1 // of a ping: a question
	flagACK  = 2 // of a ping: its answer
)

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		if g.body > 0 {
			skip := min(int(g.body), len(rest))
			g.body -= uint32(skip)
			rest = rest[skip:]
			continue
		}
		k := copy(g.header[g.have:], rest)
		g.have += k
		rest = rest[k:]
		if g.have < headerSize {
			break
		}
		g.have = 0
		switch g.header[1] {
		case typeData:
			g.body = binary.BigEndian.Uint32(g.header[8:])
		case typePing:
			if isPing(g.header[:], flagSYN) && g.pings.Add(1) > maxPings {
				return 0, errPings
			}
		}
	}
	return n, err
}

// Write counts answers. It relies on being given them whole and alone, as yamux writes them.
func (g *guard) Write(p []byte) (int, error) {
	if len(p) == headerSize && isPing(p, flagACK) {
		g.pings.Add(-1)
	}
	return g.Conn.Write(p)
}

func isPing(header []byte, flag uint16) bool {
	return header[1] == typePing && binary.BigEndian.Uint16(header[2:])&flag != 0
}
