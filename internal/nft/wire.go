package nft

import (
	"encoding/binary"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// message is one nfnetlink message: struct nlmsghdr without length and sequence, struct nfgenmsg, attributes.
type message struct {
	typ, flags uint16
	body       []byte
}

const subsys = unix.NFNL_SUBSYS_NFTABLES << 8

func newMessage(typ, flags uint16, family Family, attrs ...[]byte) message {
	body := []byte{byte(family), unix.NFNETLINK_V0, 0, 0}
	return message{typ: subsys | typ, flags: flags | unix.NLM_F_REQUEST, body: append(body, slices.Concat(attrs...)...)}
}

func attr(typ uint16, data ...[]byte) []byte {
	n := 4
	for _, d := range data {
		n += len(d)
	}
	b := make([]byte, 4, n+3)
	binary.NativeEndian.PutUint16(b, uint16(n))
	binary.NativeEndian.PutUint16(b[2:], typ)
	for _, d := range data {
		b = append(b, d...)
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func nest(typ uint16, data ...[]byte) []byte { return attr(typ|unix.NLA_F_NESTED, data...) }
func text(typ uint16, s string) []byte       { return attr(typ, []byte(s), []byte{0}) }
func num(typ uint16, v uint32) []byte        { return attr(typ, binary.BigEndian.AppendUint32(nil, v)) }

// attrs calls fn for each attribute in b, stopping at what is malformed.
func attrs(b []byte, fn func(typ uint16, data []byte)) {
	for len(b) >= 4 {
		n, typ := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if n < 4 || n > len(b) {
			return
		}
		fn(typ&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

// flags are NFT_SET_*: what is no map has none.
func (s Set) flags() uint32 {
	if s.Verdict || s.Data.Len > 0 {
		return unix.NFT_SET_MAP
	}
	return 0
}

// unit is what must be within one transaction.
type unit []message

// units are the messages of a table's steps. All that makes structure is one unit, elements that only come or go may be split from it.
func units(t Table, steps []step) []unit {
	var structure unit
	var out []unit
	id := uint32(0)
	for i, s := range steps {
		switch s.kind {
		case addTable:
			structure = append(structure, newMessage(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.Family, text(unix.NFTA_TABLE_NAME, t.Name)))
		case delTable:
			structure = append(structure, newMessage(unix.NFT_MSG_DELTABLE, 0, t.Family, text(unix.NFTA_TABLE_NAME, t.Name)))
		case addSet:
			id++
			structure = append(structure, addSetMessage(t, s.set, id))
		case addChain:
			structure = append(structure, addChainMessage(t, s.chain))
		case fillChain:
			structure = append(structure, fill(t, s.chain)...)
		case setElems:
			out = append(out, elemMessages(t, s))
		case delChain, delSet:
			out = append(out, deletions(t, steps[i:]))
			return append([]unit{structure}, out...)
		}
	}
	return append([]unit{structure}, out...)
}

func addSetMessage(t Table, s Set, id uint32) message {
	a := [][]byte{
		text(unix.NFTA_SET_TABLE, t.Name), text(unix.NFTA_SET_NAME, s.Name), num(unix.NFTA_SET_FLAGS, s.flags()),
		num(unix.NFTA_SET_KEY_TYPE, s.Key.Magic), num(unix.NFTA_SET_KEY_LEN, s.Key.Len), num(unix.NFTA_SET_ID, id),
	}
	switch {
	case s.Verdict:
		a = append(a, num(unix.NFTA_SET_DATA_TYPE, unix.NFT_DATA_VERDICT))
	case s.Data.Len > 0:
		a = append(a, num(unix.NFTA_SET_DATA_TYPE, s.Data.Magic), num(unix.NFTA_SET_DATA_LEN, s.Data.Len))
	}
	if s.HostOrder { // libnftnl's udata.h: NFTNL_UDATA_SET_DATABYTEORDER 1, of 4 octets; 1 is the host's
		a = append(a, attr(unix.NFTA_SET_USERDATA, binary.NativeEndian.AppendUint32([]byte{1, 4}, 1)))
	}
	return newMessage(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, t.Family, a...)
}

func addChainMessage(t Table, c Chain) message {
	a := [][]byte{text(unix.NFTA_CHAIN_TABLE, t.Name), text(unix.NFTA_CHAIN_NAME, c.Name)}
	if b := c.Base; b != nil {
		a = append(a, nest(unix.NFTA_CHAIN_HOOK, num(unix.NFTA_HOOK_HOOKNUM, b.Hook), num(unix.NFTA_HOOK_PRIORITY, uint32(b.Priority))),
			text(unix.NFTA_CHAIN_TYPE, b.Type))
	}
	return newMessage(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, t.Family, a...)
}

func flush(t Table, c Chain) message {
	return newMessage(unix.NFT_MSG_DELRULE, 0, t.Family, text(unix.NFTA_RULE_TABLE, t.Name), text(unix.NFTA_RULE_CHAIN, c.Name))
}

func fill(t Table, c Chain) []message {
	out := []message{flush(t, c)}
	for _, r := range c.Rules {
		var list [][]byte
		for _, e := range r.Exprs {
			list = append(list, nest(unix.NFTA_LIST_ELEM, e))
		}
		out = append(out, newMessage(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, t.Family,
			text(unix.NFTA_RULE_TABLE, t.Name), text(unix.NFTA_RULE_CHAIN, c.Name),
			nest(unix.NFTA_RULE_EXPRESSIONS, list...), attr(unix.NFTA_RULE_USERDATA, comment(r.ID))))
	}
	return out
}

// comment is a rule's user data with one comment in it (libnftnl's udata.h: type, length, text with its NUL).
func comment(id string) []byte {
	const commentType = 0
	return append([]byte{commentType, byte(len(id) + 1)}, id+"\x00"...)
}

func parseComment(b []byte) string {
	if len(b) < 3 || b[0] != 0 || int(b[1]) != len(b)-2 {
		return ""
	}
	return string(b[2 : len(b)-1])
}

func elemMessages(t Table, s step) unit {
	var out unit
	for _, part := range []struct {
		typ, flags uint16
		elems      map[string]string
	}{{unix.NFT_MSG_DELSETELEM, 0, s.drop}, {unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, s.add}} {
		if len(part.elems) == 0 {
			continue
		}
		var list [][]byte
		for _, k := range slices.Sorted(maps.Keys(part.elems)) {
			list = append(list, elem(s.set, k, part.elems[k]))
		}
		out = append(out, newMessage(part.typ, part.flags, t.Family, text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name),
			text(unix.NFTA_SET_ELEM_LIST_SET, s.set.Name), nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...)))
	}
	return out
}

func elem(s Set, key, data string) []byte {
	k := nest(unix.NFTA_SET_ELEM_KEY, attr(unix.NFTA_DATA_VALUE, []byte(key)))
	switch {
	case s.Verdict:
		jump := int32(unix.NFT_JUMP)
		return nest(unix.NFTA_LIST_ELEM, k, nest(unix.NFTA_SET_ELEM_DATA, nest(unix.NFTA_DATA_VERDICT,
			num(unix.NFTA_VERDICT_CODE, uint32(jump)), text(unix.NFTA_VERDICT_CHAIN, data))))
	case s.Data.Len > 0:
		return nest(unix.NFTA_LIST_ELEM, k, nest(unix.NFTA_SET_ELEM_DATA, attr(unix.NFTA_DATA_VALUE, []byte(data))))
	}
	return nest(unix.NFTA_LIST_ELEM, k)
}

// deletions empty all chains that go before they delete the first, since they may lead to each other.
func deletions(t Table, steps []step) unit {
	var flushes, out unit
	for _, s := range steps {
		if s.kind == delChain {
			flushes = append(flushes, flush(t, s.chain))
			out = append(out, newMessage(unix.NFT_MSG_DELCHAIN, 0, t.Family, text(unix.NFTA_CHAIN_TABLE, t.Name), text(unix.NFTA_CHAIN_NAME, s.chain.Name)))
			continue
		}
		if s.set.Verdict { // its elements hold the chains that they lead to; without a list, all of them go
			flushes = append(flushes, newMessage(unix.NFT_MSG_DELSETELEM, 0, t.Family,
				text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name), text(unix.NFTA_SET_ELEM_LIST_SET, s.set.Name)))
		}
		out = append(out, newMessage(unix.NFT_MSG_DELSET, 0, t.Family, text(unix.NFTA_SET_TABLE, t.Name), text(unix.NFTA_SET_NAME, s.set.Name)))
	}
	return append(flushes, out...)
}
