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

type logSink func(executor.Line) error

// errUntil ends a reading at its last moment.
var errUntil = errors.New("what is asked for ends here")

// Logs implements executor.Executor.
func (e *Executor) Logs(ctx context.Context, id swarmnet.TaskID, q executor.LogQuery, sink func(executor.Line) error) error {
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
	err = e.read(ctx, h, path, r, &f, q, sink)
	if errors.Is(err, errUntil) {
		return nil
	}
	return err
}

// bounded passes on what lies within the query's time.
func bounded(q executor.LogQuery, sink logSink) logSink {
	return func(l executor.Line) error {
		switch {
		case !q.Until.IsZero() && !l.At.Before(q.Until):
			return errUntil
		case l.At.Before(q.Since):
			return nil
		}
		return sink(l)
	}
}

func (e *Executor) read(ctx context.Context, h *holding, path string, r *bufio.Reader, file **os.File, q executor.LogQuery, sink logSink) error {
	if err := past(path+".1", r, q, sink); err != nil || !q.Follow {
		return err
	}
	sink = bounded(q, sink)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		ended := h.status().Phase >= executor.Ended
		if err := drain(r, sink); err != nil {
			return err
		}
		if next, err := os.Open(path); err == nil {
			if rotated(*file, next) {
				if err := drain(r, sink); err != nil { // what came before the rotation and after the last look
					next.Close()
					return err
				}
				(*file).Close()
				*file = next
				r.Reset(next)
				continue
			}
			next.Close()
		}
		if ended || !q.Until.IsZero() && time.Now().After(q.Until) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// past gives what there is already: of the older file and the current one, the last lines that the query asks for.
func past(older string, current *bufio.Reader, q executor.LogQuery, sink logSink) error {
	keep := sink
	var ring []executor.Line
	if q.Tail > 0 {
		keep = func(l executor.Line) error {
			l.Data = bytes.Clone(l.Data)
			if ring = append(ring, l); len(ring) > q.Tail {
				ring = ring[1:]
			}
			return nil
		}
	}
	keep = bounded(q, keep)
	until := false
	if f, err := os.Open(older); err == nil {
		err := drain(bufio.NewReaderSize(f, 2*maxLine), keep)
		f.Close()
		if until = errors.Is(err, errUntil); err != nil && !until {
			return err
		}
	}
	if !until {
		err := drain(current, keep)
		if until = errors.Is(err, errUntil); err != nil && !until {
			return err
		}
	}
	for _, l := range ring {
		if err := sink(l); err != nil {
			return err
		}
	}
	if until {
		return errUntil
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
		l, ok := parseRecord(line)
		if !ok {
			continue
		}
		if err := sink(l); err != nil {
			return err
		}
	}
}

// parseRecord takes "TIME STREAM TAG TEXT\n" apart. The text of a full line keeps its newline.
func parseRecord(line []byte) (l executor.Line, ok bool) {
	f := bytes.SplitN(line, []byte{' '}, 4)
	if len(f) != 4 {
		return l, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(f[0]))
	if err != nil {
		return l, false
	}
	l = executor.Line{At: at, Stderr: string(f[1]) == "stderr", Data: f[3]}
	if string(f[2]) == "P" {
		l.Data = l.Data[:len(l.Data)-1]
	}
	return l, true
}

func rotated(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && !os.SameFile(x, y)
}
