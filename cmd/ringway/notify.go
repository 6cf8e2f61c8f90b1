package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells the service manager how far we are (sd_notify). Without one that wants to know, it does nothing.
type notifier struct{ log *slog.Logger }

func (n notifier) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		n.log.Warn("cannot tell the service manager", "state", state, "error", err)
	}
}

func (n notifier) ready() { n.tell(daemon.SdNotifyReady) }

func (n notifier) waiting(why string) { n.tell("STATUS=" + why) }

func (n notifier) stopping(most time.Duration) {
	n.tell(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d\nSTATUS=draining", daemon.SdNotifyStopping, (most + 5*time.Second).Microseconds()))
}

// reloading must be followed by ready.
func (n notifier) reloading() {
	n.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// watchdog says again and again that all loops turn, if WatchdogSec of the unit wants to hear it.
func (n notifier) watchdog(ctx context.Context, live func() error) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	go func() {
		tick := time.NewTicker(every / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if live() == nil {
					n.tell(daemon.SdNotifyWatchdog)
				}
			}
		}
	}()
}
