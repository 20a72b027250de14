package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
)

// Storm asks a name server so many questions at once, each for another name below domain, and counts the answers by their code until none has come
// for as long as quiet.
func Storm(ctx context.Context, server, domain string, count int, quiet time.Duration) (map[string]int, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for i := range count {
		raw, err := new(dns.Msg).SetQuestion(dns.Fqdn(fmt.Sprintf("q%d.%s", i, domain)), dns.TypeA).Pack()
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(raw); err != nil {
			return nil, err
		}
	}
	codes, buf := map[string]int{}, make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return nil, err
		}
		n, err := conn.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return codes, nil
		}
		if err != nil {
			return nil, err
		}
		reply := new(dns.Msg)
		if err := reply.Unpack(buf[:n]); err != nil {
			return nil, fmt.Errorf("%s answers what cannot be read: %w", server, err)
		}
		codes[dns.RcodeToString[reply.Rcode]]++
	}
}
