package member

import (
	"context"

	"github.com/hashicorp/memberlist"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/gossip"
)

const (
	// maxPacket is the largest message that goes as one packet. With encryption, label and checksum, and the headers around, it is still less than
	// the 1,280 octets that every path must take (RFC 8200 section 5): gossip gets through where larger packets are lost.
	maxPacket = 1100
	// senders is how many messages are under way by TCP at once.
	senders = 4
)

// parcel is a message that goes by TCP, or to one whom the sending must not wait for.
type parcel struct {
	to  memberlist.Node
	msg []byte
}

type reliable chan parcel

// send sends what the speaker says: small messages as packets at once, others through a queue that never blocks. What is lost is
// repaired. mu is held, and memberlist may hold its own lock.
func (m *Member) send(outs []gossip.Out) {
	if m.list == nil {
		return
	}
	for _, o := range outs {
		n := m.seen[o.To]
		if n == nil || !n.alive {
			continue
		}
		raw, err := o.Msg.Encode()
		if err != nil {
			m.log.Error("gossip message not sent", "to", o.To, "err", err)
			continue
		}
		if len(raw) <= maxPacket {
			// With a node given, SendBestEffort takes no lock of memberlist's.
			if err := m.list.SendBestEffort(&n.addr, raw); err != nil {
				m.log.Debug("gossip packet not sent", "to", o.To, "err", err)
			}
			continue
		}
		select {
		case m.reliable <- parcel{to: n.addr, msg: raw}:
		default:
			m.log.Debug("gossip message dropped: too many wait", "to", o.To)
		}
	}
}

func (m *Member) sendReliably(ctx context.Context, list *memberlist.Memberlist) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case p := <-m.reliable:
			if err := list.SendReliable(&p.to, p.msg); err != nil {
				m.log.Debug("gossip message not sent", "to", p.to.Name, "err", err)
			}
		}
	}
}

// greet compares digests with one who has just appeared. mu is held.
func (m *Member) greet(id swarmnet.NodeID) { m.say(m.speaker.Greet(id)) }
