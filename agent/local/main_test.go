package local

import (
	"os"
	"testing"

	"github.com/swarmnet/swarmnet/internal/sequences"
)

func TestMain(m *testing.M) { sequences.Default(5000); os.Exit(m.Run()) }
