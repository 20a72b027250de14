package process

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmnet/swarmnet/agent/executor"
)

func readAll(t *testing.T, path string, tail int) (lines []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = past(path+".1", bufio.NewReaderSize(f, 2*maxLine), executor.LogQuery{Tail: tail}, func(l executor.Line) error {
		lines = append(lines, string(l.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestLogKeepsLinesAndPieces(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	w, err := newLogWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 3*maxLine)
	text := "one\n\ntwo three\n" + long + "\nthe end"
	w.copy("stdout", strings.NewReader(text))
	if got := strings.Join(readAll(t, path, 0), ""); got != text {
		t.Errorf("%d octets came back of %d", len(got), len(text))
	}
}

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), logFile)
	w, err := newLogWriter(path)
	if err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	for i := range n {
		w.write("stderr", "F", fmt.Appendf(nil, "line %d", i))
	}
	for _, p := range []string{path, path + ".1"} {
		if st, err := os.Stat(p); err != nil || st.Size() > LogSize || st.Size() == 0 {
			t.Errorf("%s: %v, %v", p, st, err)
		}
	}
	got := readAll(t, path, 0)
	first := n - len(got)
	for i, line := range got {
		if line != fmt.Sprintf("line %d\n", first+i) {
			t.Fatalf("line %d of what is left is %q", i, line)
		}
	}
	if got := readAll(t, path, 3); len(got) != 3 || got[2] != fmt.Sprintf("line %d\n", n-1) {
		t.Errorf("tail: %q", got)
	}
}
