package gossip

import (
	"reflect"
	"slices"

	"github.com/swarmnet/swarmnet"
)

// Differ calls fn for each endpoint about which two views say something else. Those that share memory are not looked through.
func Differ(a, b View, fn func(swarmnet.EndpointID)) {
	if !sameMap(a.Endpoints, b.Endpoints) {
		for id, row := range b.Endpoints {
			if was, had := a.Endpoints[id]; !had || was != row {
				fn(id)
			}
		}
		for id := range a.Endpoints {
			if _, has := b.Endpoints[id]; !has {
				fn(id)
			}
		}
	}
	for id, rows := range b.claims {
		if !slices.Equal(rows, a.claims[id]) {
			fn(id)
		}
	}
	for id := range a.claims {
		if _, has := b.claims[id]; !has {
			fn(id)
		}
	}
}

func sameMap[M ~map[K]V, K comparable, V any](a, b M) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}
