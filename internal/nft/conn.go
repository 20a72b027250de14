package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/swarmnet/swarmnet/internal/netns"
)

// Conn speaks nfnetlink in one network namespace. It may be used by one goroutine at a time.
type Conn struct {
	c *netlink.Conn
	// limit is how many octets a transaction may have.
	limit int
	// cookie names the namespace, unlike its path for good; 0 where the kernel (before 5.14) does not say.
	cookie uint64
	clocks *Clocks
	// changed is set by the first transaction.
	changed bool
}

// wantBuffer in octets is enough for the largest transaction that is likely: 100,000 elements.
const wantBuffer = 8 << 20

// Open opens a connection to the namespace.
func Open(ns *netns.Handle) (*Conn, error) { return OpenWith(ns, &Clocks{}) }

// OpenWith opens a connection to the namespace. Memos last as long as the clocks; those who share clocks know of each other's changes.
func OpenWith(ns *netns.Handle, clocks *Clocks) (*Conn, error) {
	nc, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, fmt.Errorf("cannot open nfnetlink: %w", err)
	}
	c := &Conn{c: nc, limit: 100 << 10, clocks: clocks}
	// Both are best effort: a user namespace's root gets what net.core.wmem_max allows, and transactions are cut to what there is.
	_ = nc.SetReadBuffer(wantBuffer)
	_ = nc.SetWriteBuffer(wantBuffer)
	if n, err := nc.WriteBuffer(); err == nil {
		c.limit = max(n-4096, 32<<10)
	}
	raw, err := nc.SyscallConn()
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("cannot open nfnetlink: %w", err)
	}
	_ = raw.Control(func(fd uintptr) { // 0 without it
		c.cookie, _ = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	return c, nil
}

// Close closes the connection. Whoever closes a socket of nfnetlink after a transaction waits in the kernel until what it replaced is freed, which
// takes an RCU grace period: that is left to the background.
func (c *Conn) Close() error {
	if !c.changed {
		return c.c.Close()
	}
	go c.c.Close()
	return nil
}

func (m message) netlink() netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(m.typ), Flags: netlink.HeaderFlags(m.flags)}, Data: m.body}
}

// ask sends one request and calls fn with the attributes of each answer.
func (c *Conn) ask(typ, flags uint16, family Family, fn func(body []byte), attrs ...[]byte) error {
	replies, err := c.c.Execute(newMessage(typ, flags, family, attrs...).netlink())
	if err != nil {
		return err
	}
	for _, r := range replies {
		if len(r.Data) >= 4 && r.Header.Type != netlink.Error && r.Header.Type != netlink.Done {
			fn(r.Data[4:])
		}
	}
	return nil
}

// generation counts the transactions of the namespace.
func (c *Conn) generation() (gen uint32, err error) {
	err = c.ask(unix.NFT_MSG_GETGEN, 0, 0, func(body []byte) {
		attrs(body, func(typ uint16, data []byte) {
			if typ == unix.NFTA_GEN_ID && len(data) == 4 {
				gen = binary.BigEndian.Uint32(data)
			}
		})
	})
	if err != nil {
		return 0, fmt.Errorf("cannot ask nftables: %w", err)
	}
	return gen, nil
}

// errMoved: somebody else's transaction came between observing and changing.
var errMoved = errors.New("the tables were changed meanwhile")

// commit performs units in as few transactions as their size allows, the first only if the generation is still gen, and returns the one that it
// is then.
func (c *Conn) commit(gen uint32, list []unit) (uint32, error) {
	for len(list) > 0 {
		n, size := 0, 0
		for ; n < len(list); n++ {
			add := 0
			for _, m := range list[n] {
				add += len(m.body) + unix.NLMSG_HDRLEN + 4
			}
			if n > 0 && size+add > c.limit {
				break
			}
			size += add
		}
		if err := c.transact(gen, list[:n]); err != nil {
			return gen, err
		}
		list = list[n:]
		gen++
		if gen == 0 { // it is never 0
			gen = 1
		}
	}
	return gen, nil
}

func (c *Conn) transact(gen uint32, list []unit) error {
	edge := func(typ uint16, attrs ...[]byte) netlink.Message {
		body := []byte{0, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES} // res_id is the subsystem, big-endian
		for _, a := range attrs {
			body = append(body, a...)
		}
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(typ), Flags: netlink.Request}, Data: body}
	}
	msgs := []netlink.Message{edge(unix.NFNL_MSG_BATCH_BEGIN, num(unix.NFNL_BATCH_GENID, gen))}
	for _, u := range list {
		for _, m := range u {
			msgs = append(msgs, m.netlink())
		}
	}
	if len(msgs) == 1 {
		return nil
	}
	msgs[len(msgs)-1].Header.Flags |= netlink.Acknowledge
	last := len(msgs) - 1
	msgs = append(msgs, edge(unix.NFNL_MSG_BATCH_END))
	c.changed = true
	sent, err := c.c.SendMessages(msgs)
	if err != nil {
		return fmt.Errorf("cannot send %d changes: %w", len(msgs)-2, err)
	}
	for {
		replies, err := c.c.Receive() // an error of any message of the transaction is an error here: all was undone
		switch {
		case errors.Is(err, unix.ERESTART):
			return errMoved
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EOPNOTSUPP):
			return fmt.Errorf("%w: this kernel's nftables lacks an expression (nat, fib, numgen, ct) or a table's object is gone", err)
		case err != nil:
			return err
		}
		for _, r := range replies {
			if r.Header.Type == netlink.Error && r.Header.Sequence == sent[last].Header.Sequence {
				return nil
			}
		}
	}
}
