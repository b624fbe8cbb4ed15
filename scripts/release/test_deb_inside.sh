#!/bin/sh
# Install, use, upgrade, remove and purge a package, as root on a system that may be thrown away:
#   test_deb_inside.sh PACKAGE.deb [VIDEO]
# scripts/release/test_deb.sh runs this in a new root file system, and scripts/pi/check.py in a booted one.
set -eu
deb=$1 video=${2:-}
name=$(dpkg-deb -f "$deb" Package)

fail() { echo "test_deb_inside.sh: $1" >&2; exit 1; }
closed() {
    [ "$(stat -c '%a %U %G' /etc/edgehar/config.toml)" = '640 root edgehar' ] || fail "config.toml: $(ls -l /etc/edgehar/config.toml)"
    [ "$(stat -c '%a %U %G' /etc/edgehar)" = '750 root edgehar' ] || fail "/etc/edgehar: $(ls -ld /etc/edgehar)"
}
gone() { for path in "$@"; do [ ! -e "$path" ] && [ ! -L "$path" ] || fail "$path is still there"; done; }

dpkg -i "$deb" >/dev/null
closed
id edgehar | grep -q video || fail "the user edgehar is not in the group video"
edgehar config check /etc/edgehar/config.toml >/dev/null
edgehar --version
runuser -u edgehar -- edgehar inspect fight >/dev/null
if [ -n "$video" ]; then
    runuser -u edgehar -- edgehar-run --source "$video" --model actions-synthetic --output jsonl | grep -q '"label"' || fail "no answer about $video"
fi
size=$(du -sm /opt/edgehar | cut -f1)

echo 'hop = 7' >/etc/edgehar/config.toml
dpkg -i --force-confold "$deb" >/dev/null
[ "$(cat /etc/edgehar/config.toml)" = 'hop = 7' ] || fail "the upgrade changed the configuration"
closed

dpkg -r "$name" >/dev/null
gone /opt/edgehar /usr/bin/edgehar /usr/lib/systemd/system/edgehar.service
[ -e /etc/edgehar/config.toml ] || fail "removing took the configuration"
dpkg -i --force-confold "$deb" >/dev/null
install -d -m 700 -o edgehar /var/lib/edgehar
dpkg -P "$name" >/dev/null
gone /opt/edgehar /etc/edgehar /var/lib/edgehar /usr/bin/edgehar /usr/bin/edgehar-run /usr/lib/systemd/system/edgehar.service /usr/lib/sysusers.d/edgehar.conf
! getent passwd edgehar >/dev/null || fail "the user edgehar is still there"
left=$(find / -xdev -newer "$deb" -name '*edgehar*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/jobs/*' 2>/dev/null | grep -v -F "$deb" || true)
echo "$name $(dpkg-deb -f "$deb" Version): $size MB installed, upgraded, removed, purged${left:+; left: $left}"
