"""Health of the program and its machine, reported to: status records, Prometheus, systemd."""
