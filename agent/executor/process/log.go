package process

import (
	"bufio"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// LogSize is how many octets a log file takes before it becomes log.1 and a new one is begun: a task's output takes at most
// twice as much.
const LogSize = 1 << 20

// maxLine bounds one line of the log; a longer one is cut into partial ones.
const maxLine = 8 << 10

// logWriter writes a workload's output in the format of the Kubernetes CRI: "TIME STREAM TAG TEXT", where the tag is F for a full line
// and P for one that goes on in the next.
type logWriter struct {
	mu   sync.Mutex
	path string
	file *os.File
	size int64
}

func newLogWriter(path string) (*logWriter, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &logWriter{path: path, file: f, size: st.Size()}, nil
}

// copy writes what it reads until the end of the stream. What can't be written is dropped: a full disk must not stop the workload.
func (l *logWriter) copy(stream string, r io.Reader) {
	br := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := br.ReadSlice('\n')
		if len(line) > 0 {
			tag := "F"
			if line[len(line)-1] == '\n' {
				line = line[:len(line)-1]
			} else {
				tag = "P"
			}
			l.write(stream, tag, line)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (l *logWriter) write(stream, tag string, line []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rec := make([]byte, 0, len(line)+48)
	rec = time.Now().UTC().AppendFormat(rec, time.RFC3339Nano)
	rec = append(rec, ' ')
	rec = append(rec, stream...)
	rec = append(rec, ' ')
	rec = append(rec, tag...)
	rec = append(rec, ' ')
	rec = append(rec, line...)
	rec = append(rec, '\n')
	if l.size+int64(len(rec)) > LogSize {
		l.rotate()
	}
	n, _ := l.file.Write(rec)
	l.size += int64(n)
}

// rotate goes on with the old file when a new one can't be had.
func (l *logWriter) rotate() {
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	l.file.Close()
	l.file, l.size = f, 0
}
