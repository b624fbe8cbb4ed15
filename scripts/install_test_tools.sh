#!/bin/sh
# Install what the tests need beyond Python packages: the mosquitto broker.
set -eu
if command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto
else
    echo "The MQTT tests need the mosquitto broker and will be skipped without it; install it with:" >&2
    echo "    sudo apt-get install mosquitto" >&2
fi
