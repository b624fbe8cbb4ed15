"""Connect a run to systemd: the unit file, readiness and watchdog messages, the journal."""
