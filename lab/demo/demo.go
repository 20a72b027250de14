package demo

import (
	"context"
	"io"
)

type Config struct {
	Name string
	Keep bool
}

func Run(ctx context.Context, w io.Writer, c Config) error { return nil }
