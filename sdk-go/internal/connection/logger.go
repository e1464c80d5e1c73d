package connection

import (
	"io"
	"log/slog"
)

// defaultSlog writes lines of text, from informational ones upwards.
func defaultSlog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }
