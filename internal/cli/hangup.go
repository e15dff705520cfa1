package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/filewatch"
)

// lookEvery is how often files are looked at; a change is taken over once they rest for as long.
const lookEvery = 500 * time.Millisecond

// reloads calls reload for every SIGHUP, and, where files are watched, when they have changed, until stop is called. files
// is nil or returns their names.
func reloads(reload func() error, files func() []string, log *slog.Logger) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	var watched *filewatch.Files
	var looks <-chan time.Time
	var ticker *time.Ticker
	if files != nil {
		watched, ticker = filewatch.New(files), time.NewTicker(lookEvery)
		looks = ticker.C
	}
	try := func() {
		if err := reload(); err != nil {
			log.Error("reload: everything stays as it was", "error", err)
			return
		}
		log.Info("reloaded")
	}
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for {
			select {
			case <-signals:
				if watched != nil {
					watched.Note()
				}
				try()
			case <-looks:
				if watched.Changed() {
					try()
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		if ticker != nil {
			ticker.Stop()
		}
		close(done)
		waiting.Wait()
	}
}
