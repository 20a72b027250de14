package nl

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A flow to be deleted is named by where its answers come from: what was asked, and where the kernel keeps it, may be another flow's by then.
func TestFlowName(t *testing.T) {
	body := make([]byte, sizeofNfgenmsg)
	for _, typ := range []uint16{ctaTupleOrig | unix.NLA_F_NESTED, ctaTupleReply | unix.NLA_F_NESTED, ctaMark, ctaID, ctaZone} {
		body = appendAttr(body, typ, []byte{byte(typ), 0, 0, 0})
	}
	var named []uint16
	eachAttr(flowName(body)[sizeofNfgenmsg:], func(typ uint16, data []byte) {
		if len(data) != 4 || data[0] != byte(typ) {
			t.Errorf("attribute %d is % x", typ, data)
		}
		named = append(named, typ)
	})
	if want := []uint16{ctaTupleReply, ctaID, ctaZone}; !slices.Equal(named, want) {
		t.Errorf("a flow is named by the attributes %v, want %v", named, want)
	}
}
