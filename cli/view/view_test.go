package view

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/swarmnet/swarmnet"
)

func TestOf(t *testing.T) {
	type outer struct {
		swarmnet.Endpoint
		Role   swarmnet.Role
		Delay  time.Duration
		Labels map[string]string
		hidden int
	}
	o := outer{
		Endpoint: swarmnet.Endpoint{ID: "e", MAC: swarmnet.MAC{2, 0x42, 10, 0, 0, 1}, Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		Role:     swarmnet.RoleManager, Delay: 5 * time.Second, Labels: map[string]string{"b": "2", "a": "1"}, hidden: 1,
	}
	b, err := json.Marshal(Of(o))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"ID":"e","Meta":{"Created":0,"Updated":0,"CreatedAt":null,"UpdatedAt":null},"Network":"","Task":"","Service":"","Node":"",` +
		`"MAC":"02:42:0a:00:00:01","Addrs":["10.0.0.1/24"],"Aliases":[],"DefaultRoute":false,"Gateways":[],"DNS":{"Servers":[],"Search":[],"Options":[]},"Role":"manager","Delay":"5s","Labels":{"a":"1","b":"2"}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	plain, ok := Of(o).Plain().(map[string]any)
	if !ok || plain["MAC"] != "02:42:0a:00:00:01" {
		t.Errorf("plain %v", plain)
	}
}
