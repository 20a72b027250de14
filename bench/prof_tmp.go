package main

import (
	"os"
	"runtime/pprof"
)

func init() {
	profStart = func() {
		if p := os.Getenv("PROF"); p != "" {
			f, _ := os.Create(p)
			pprof.StartCPUProfile(f)
		}
	}
	profStop = pprof.StopCPUProfile
}
