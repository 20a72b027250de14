package wire

import (
	"github.com/swarmnet/swarmnet"
	pb "github.com/swarmnet/swarmnet/proto/swarmnet/v1"
)

func NodeDiffToProto(d swarmnet.NodeDiff) *pb.NodeDiff {
	out := &pb.NodeDiff{Unknown: d.Unknown, Repaired: d.Repaired}
	for _, x := range d.Differences {
		out.Differences = append(out.Differences, &pb.Difference{Part: x.Part, Surplus: x.Surplus, Object: x.Object})
	}
	return out
}

func NodeDiffFromProto(m *pb.NodeDiff) swarmnet.NodeDiff {
	out := swarmnet.NodeDiff{Unknown: m.GetUnknown(), Repaired: m.GetRepaired()}
	for _, x := range m.GetDifferences() {
		out.Differences = append(out.Differences, swarmnet.Difference{Part: x.GetPart(), Surplus: x.GetSurplus(), Object: x.GetObject()})
	}
	return out
}
