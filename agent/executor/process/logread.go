package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/agent/executor"
)

// followEvery is how often a followed log is looked at.
const followEvery = 100 * time.Millisecond

type logSink func(data []byte, stderr bool) error

// Logs implements executor.Executor: tail is the number of last lines to begin with, 0 for all.
func (e *Executor) Logs(ctx context.Context, id swarmnet.TaskID, follow bool, tail int, sink func(data []byte, stderr bool) error) error {
	h, err := e.get(id)
	if err != nil {
		return err
	}
	path := filepath.Join(h.dir, logFile)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { f.Close() }()
	r := bufio.NewReaderSize(f, 2*maxLine)
	if err := past(path+".1", r, tail, sink); err != nil || !follow {
		return err
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		ended := h.status().Phase >= executor.Ended
		if err := drain(r, sink); err != nil {
			return err
		}
		if next, err := os.Open(path); err == nil {
			if rotated(f, next) {
				if err := drain(r, sink); err != nil { // what came before the rotation and after the last look
					next.Close()
					return err
				}
				f.Close()
				f = next
				r.Reset(f)
				continue
			}
			next.Close()
		}
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// past gives what there is already: of the older file and the current one, the last tail lines.
func past(older string, current *bufio.Reader, tail int, sink logSink) error {
	keep := sink
	var ring [][]byte
	var from []bool
	if tail > 0 {
		keep = func(data []byte, stderr bool) error {
			ring, from = append(ring, bytes.Clone(data)), append(from, stderr)
			if len(ring) > tail {
				ring, from = ring[1:], from[1:]
			}
			return nil
		}
	}
	if f, err := os.Open(older); err == nil {
		err := drain(bufio.NewReaderSize(f, 2*maxLine), keep)
		f.Close()
		if err != nil {
			return err
		}
	}
	if err := drain(current, keep); err != nil {
		return err
	}
	for i, data := range ring {
		if err := sink(data, from[i]); err != nil {
			return err
		}
	}
	return nil
}

// drain reads records up to the end of the file. A record is written with one call, so none is ever seen in part.
func drain(r *bufio.Reader, sink logSink) error {
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			return nil
		} else if err != nil {
			return err
		}
		data, stderr, ok := parseRecord(line)
		if !ok {
			continue
		}
		if err := sink(data, stderr); err != nil {
			return err
		}
	}
}

// parseRecord takes "TIME STREAM TAG TEXT\n" apart. The text of a full line keeps its newline.
func parseRecord(line []byte) (data []byte, stderr, ok bool) {
	f := bytes.SplitN(line, []byte{' '}, 4)
	if len(f) != 4 {
		return nil, false, false
	}
	data = f[3]
	if string(f[2]) == "P" {
		data = data[:len(data)-1]
	}
	return data, string(f[1]) == "stderr", true
}

func rotated(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && !os.SameFile(x, y)
}
