#!/bin/sh
# Install the tools that tests need beyond Python packages: the mosquitto broker, openssl for its certificates,
# GStreamer's RTSP server with bindings for the system's Python, libfaketime, which sets a program's clock, servers for
# uploads of recordings, and Chromium with axe-core for the pages.
set -eu
wanted=""
if ! command -v mosquitto >/dev/null && [ ! -x /usr/sbin/mosquitto ]; then
    wanted="mosquitto"
fi
if ! command -v openssl >/dev/null; then
    wanted="$wanted openssl"
fi
if ! /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' 2>/dev/null ||
    ! ls /usr/lib/*/gstreamer-1.0/libgstx264.so >/dev/null 2>&1; then
    wanted="$wanted python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
    wanted="$wanted gstreamer1.0-plugins-ugly"
fi
if ! ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; then
    wanted="$wanted faketime"
fi
# A browser for the tests of the pages. Playwright brings none, and downloads none.
if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && ! command -v google-chrome >/dev/null; then
    wanted="$wanted chromium"
fi
for pair in rclone:rclone age:age ps:procps sshd:openssh-server; do
    if ! PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null; then
        wanted="$wanted ${pair#*:}"
    fi
done
# An S3 server for the tests of uploads.
if command -v npm >/dev/null && ! command -v s3rver >/dev/null &&
    [ ! -x "$HOME/.local/share/edgehar-tests/node_modules/.bin/s3rver" ]; then
    npm install --silent --no-audit --no-fund --prefix "$HOME/.local/share/edgehar-tests" s3rver || true
fi
# Finds what a screen reader cannot read, in the tests of the pages.
if command -v npm >/dev/null && [ ! -f "$HOME/.local/share/edgehar-tests/node_modules/axe-core/axe.min.js" ]; then
    npm install --silent --no-audit --no-fund --prefix "$HOME/.local/share/edgehar-tests" axe-core || true
fi
if [ -z "$wanted" ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $wanted
else
    echo "Without these packages, tests that need them are skipped. Install them with:" >&2
    echo "    sudo apt-get install $wanted" >&2
fi
