"""How the program and its machine are doing, and who is told: status records, Prometheus, systemd."""
