package manager

import (
	"errors"
	"reflect"
	"testing"

	"github.com/swarmnet/swarmnet/manager/raftnode/vfs"
)

func TestSeat(t *testing.T) {
	fsys := vfs.NewMem()
	if _, err := loadSeat(fsys, "/m"); !errors.Is(err, errNoSeat) {
		t.Fatalf("got %v", err)
	}
	s := newSeat(7)
	if err := s.save(fsys, "/m"); err != nil {
		t.Fatal(err)
	}
	got, err := loadSeat(fsys, "/m")
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("got %v, %v; want %v", got, err, s)
	}
	if err := replaceFile(fsys, "/m/"+seatFile, []byte(`{"ID":7}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSeat(fsys, "/m"); err == nil || errors.Is(err, errNoSeat) {
		t.Fatalf("a damaged seat: %v", err)
	}
}
