package dns

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// ednsSize is the size that avoids fragments (DNS flag day 2020).
const ednsSize = 1232

// exchange asks one upstream, by UDP and, where the answer is cut, again by TCP. A random id and a socket for each query
// keep answers from being guessed (RFC 5452).
func exchange(ctx context.Context, dial Dial, server netip.AddrPort, q *mdns.Msg) (*mdns.Msg, error) {
	query := *q
	query.Id = uint16(rand.Uint32())
	raw, err := query.Pack()
	if err != nil {
		return nil, fmt.Errorf("dns: pack a query: %w", err)
	}
	reply, err := exchangeBy(ctx, dial, "udp", server, &query, raw)
	if err == nil && reply.Truncated {
		return exchangeBy(ctx, dial, "tcp", server, &query, raw)
	}
	return reply, err
}

func exchangeBy(ctx context.Context, dial Dial, network string, server netip.AddrPort, q *mdns.Msg, raw []byte) (*mdns.Msg, error) {
	conn, err := dial(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	read := readPacket
	if network == "tcp" {
		read = readFramed
		raw = append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
	}
	if _, err := conn.Write(raw); err != nil {
		return nil, err
	}
	for {
		in, err := read(conn)
		if err != nil {
			return nil, err
		}
		reply := new(mdns.Msg)
		if reply.Unpack(in) == nil && answers(reply, q) {
			return reply, nil
		}
		if network == "tcp" {
			return nil, fmt.Errorf("dns: %s answered something else over TCP", server)
		}
		// over UDP anybody may have sent it: wait on for the true answer
	}
}

func answers(r, q *mdns.Msg) bool {
	return r.Response && r.Id == q.Id && len(r.Question) == 1 && r.Question[0].Qtype == q.Question[0].Qtype &&
		r.Question[0].Qclass == q.Question[0].Qclass && strings.EqualFold(r.Question[0].Name, q.Question[0].Name)
}

func readPacket(conn net.Conn) ([]byte, error) {
	buf := make([]byte, maxQuery)
	n, err := conn.Read(buf)
	return buf[:n], err
}

func readFramed(conn net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(conn, buf)
	return buf, err
}
