package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// hangups calls reload for every SIGHUP until stop is called.
func hangups(reload func() error, log *slog.Logger) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for {
			select {
			case <-signals:
				if err := reload(); err != nil {
					log.Error("reload", "error", err)
				} else {
					log.Info("reloaded")
				}
			case <-done:
				return
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(done)
		waiting.Wait()
	}
}
