package raftnode

import pb "go.etcd.io/raft/v3/raftpb"

func malformed() []*pb.Message {
	n := func(v uint64) *uint64 { return &v }
	to := func(t pb.MessageType, change func(*pb.Message)) *pb.Message {
		m := &pb.Message{Type: t.Enum(), To: n(1), From: n(2), Term: n(9)}
		change(m)
		return m
	}
	return []*pb.Message{
		nil,
		{},
		to(pb.MsgHup, func(*pb.Message) {}),
		to(pb.MsgStorageAppendResp, func(*pb.Message) {}),
		to(pb.MsgForgetLeader, func(*pb.Message) {}),
		to(pb.MessageType(99), func(*pb.Message) {}),
		to(pb.MsgSnap, func(*pb.Message) {}),
		to(pb.MsgApp, func(m *pb.Message) { m.To = n(7) }),
		to(pb.MsgApp, func(m *pb.Message) { m.From = n(1) }),
		to(pb.MsgApp, func(m *pb.Message) { m.From = n(0) }),
		to(pb.MsgApp, func(m *pb.Message) { m.Entries = []*pb.Entry{{Index: n(5)}} }),
		to(pb.MsgProp, func(*pb.Message) {}),
		to(pb.MsgProp, func(m *pb.Message) {
			m.Entries = []*pb.Entry{{Type: pb.EntryConfChange.Enum(), Data: []byte{0xff}}}
		}),
		to(pb.MsgProp, func(m *pb.Message) { m.Entries = []*pb.Entry{{Type: pb.EntryConfChangeV2.Enum()}} }),
		to(pb.MsgReadIndex, func(*pb.Message) {}),
		to(pb.MsgHeartbeatResp, func(m *pb.Message) { m.Context = []byte{1} }),
	}
}
