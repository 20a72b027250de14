package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// accept is NF_ACCEPT (linux/netfilter.h).
const accept = 1

// dormant is NFT_TABLE_F_DORMANT (linux/netfilter/nf_tables.h).
const dormant = 1

// Observe dumps a table; nil when there is none.
func (c *Conn) Observe(family Family, name string) (*Table, error) {
	t := &Table{Family: family, Name: name}
	err := c.ask(unix.NFT_MSG_GETTABLE, 0, family, func(body []byte) {
		attrs(body, func(typ uint16, data []byte) {
			if typ == unix.NFTA_TABLE_FLAGS {
				t.Dormant = u32(data)&dormant != 0
			}
		})
	}, text(unix.NFTA_TABLE_NAME, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = errors.Join(c.observeChains(t), c.observeSets(t))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list table %s %s: %w", family, name, err)
	}
	return t, nil
}

func (c *Conn) observeChains(t *Table) error {
	at := map[string]int{}
	err := c.ask(unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, t.Family, func(body []byte) {
		table, ch := "", Chain{}
		attrs(body, func(typ uint16, data []byte) {
			switch typ {
			case unix.NFTA_CHAIN_TABLE:
				table = str(data)
			case unix.NFTA_CHAIN_NAME:
				ch.Name = str(data)
			case unix.NFTA_CHAIN_TYPE:
				ch.base().Type = str(data)
			case unix.NFTA_CHAIN_POLICY:
				ch.base().Drops = u32(data) != accept
			case unix.NFTA_CHAIN_HOOK:
				attrs(data, func(typ uint16, data []byte) {
					switch typ {
					case unix.NFTA_HOOK_HOOKNUM:
						ch.base().Hook = u32(data)
					case unix.NFTA_HOOK_PRIORITY:
						ch.base().Priority = int32(u32(data))
					}
				})
			}
		})
		if table == t.Name {
			at[ch.Name] = len(t.Chains)
			t.Chains = append(t.Chains, ch)
		}
	})
	if err != nil {
		return err
	}
	return c.ask(unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, t.Family, func(body []byte) {
		table, chain, r := "", "", Rule{}
		attrs(body, func(typ uint16, data []byte) {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				table = str(data)
			case unix.NFTA_RULE_CHAIN:
				chain = str(data)
			case unix.NFTA_RULE_USERDATA:
				r.ID = parseComment(data)
			}
		})
		if i, ok := at[chain]; ok && table == t.Name {
			t.Chains[i].Rules = append(t.Chains[i].Rules, r)
		}
	}, text(unix.NFTA_RULE_TABLE, t.Name))
}

func (c *Chain) base() *Base {
	if c.Base == nil {
		c.Base = &Base{}
	}
	return c.Base
}

func (c *Conn) observeSets(t *Table) error {
	err := c.ask(unix.NFT_MSG_GETSET, unix.NLM_F_DUMP, t.Family, func(body []byte) {
		table, s, flags, dataType := "", Set{Elems: map[string]string{}}, uint32(0), uint32(0)
		attrs(body, func(typ uint16, data []byte) {
			switch typ {
			case unix.NFTA_SET_TABLE:
				table = str(data)
			case unix.NFTA_SET_NAME:
				s.Name = str(data)
			case unix.NFTA_SET_FLAGS:
				flags = u32(data)
			case unix.NFTA_SET_KEY_TYPE:
				s.Key.Magic = u32(data)
			case unix.NFTA_SET_KEY_LEN:
				s.Key.Len = u32(data)
			case unix.NFTA_SET_DATA_TYPE:
				dataType = u32(data)
			case unix.NFTA_SET_DATA_LEN:
				s.Data.Len = u32(data)
			}
		})
		if table != t.Name || flags&unix.NFT_SET_ANONYMOUS != 0 {
			return
		}
		if flags&unix.NFT_SET_MAP == 0 {
			s.Data = Type{}
		} else if dataType == unix.NFT_DATA_VERDICT {
			s.Verdict, s.Data = true, Type{}
		} else {
			s.Data.Magic = dataType
		}
		t.Sets = append(t.Sets, s)
	}, text(unix.NFTA_SET_TABLE, t.Name))
	if err != nil {
		return err
	}
	for _, s := range t.Sets {
		if err := c.observeElems(t, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *Conn) observeElems(t *Table, s Set) error {
	return c.ask(unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, t.Family, func(body []byte) {
		attrs(body, func(typ uint16, list []byte) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return
			}
			attrs(list, func(_ uint16, e []byte) {
				var key, data string
				attrs(e, func(typ uint16, v []byte) {
					switch typ {
					case unix.NFTA_SET_ELEM_KEY:
						key = value(v)
					case unix.NFTA_SET_ELEM_DATA:
						data = value(v)
					}
				})
				s.Elems[key] = data
			})
		})
	}, text(unix.NFTA_SET_ELEM_LIST_TABLE, t.Name), text(unix.NFTA_SET_ELEM_LIST_SET, s.Name))
}

// value is that of an NFTA_DATA_* attribute: plain octets, or the chain of a jump.
func value(b []byte) (out string) {
	attrs(b, func(typ uint16, data []byte) {
		switch typ {
		case unix.NFTA_DATA_VALUE:
			out = string(data)
		case unix.NFTA_DATA_VERDICT:
			chain, code := "", uint32(0)
			attrs(data, func(typ uint16, v []byte) {
				switch typ {
				case unix.NFTA_VERDICT_CHAIN:
					chain = str(v)
				case unix.NFTA_VERDICT_CODE:
					code = u32(v)
				}
			})
			if int32(code) == unix.NFT_JUMP {
				out = chain
			}
		}
	})
	return out
}

func str(b []byte) string { return strings.TrimRight(string(b), "\x00") }

func u32(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
