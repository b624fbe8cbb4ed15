#!/usr/bin/env bash
# Prepare an unpacked Debian for scripts/pi: prepare.sh ROOT. Adds a user, a console, the network and the second disk.
set -euo pipefail
root=$1

echo edgepi >"$root/etc/hostname"
printf '127.0.0.1 localhost edgepi\n' >"$root/etc/hosts"
printf 'nameserver 10.0.2.3\n' >"$root/etc/resolv.conf"
printf '/dev/vda / ext4 rw,relatime,errors=remount-ro 0 1\n/dev/vdb /jobs ext4 ro,nofail,x-systemd.device-timeout=900 0 0\n' >"$root/etc/fstab"
mkdir -p "$root/jobs"
# systemd writes a new one at the first boot.
: >"$root/etc/machine-id"

# The user that Raspberry Pi OS has, but not yet in the group video.
echo 'pi:x:1000:1000:,,,:/home/pi:/bin/bash' >>"$root/etc/passwd"
echo 'pi:x:1000:' >>"$root/etc/group"
echo 'pi:*:20000:0:99999:7:::' >>"$root/etc/shadow"
install -d -m 700 "$root/home/pi"
cp "$root"/etc/skel/.[a-z]* "$root/home/pi/"
chown -R 1000:1000 "$root/home/pi"
install -m 440 /dev/stdin "$root/etc/sudoers.d/pi" <<<'pi ALL=(ALL) NOPASSWD: ALL'

# A root console without a password on the serial line, with a prompt that nothing else prints.
sed -i 's#^root:[^:]*:#root::#' "$root/etc/shadow"
# It does not wait for udev as serial-getty does, because an emulated processor may need minutes for that.
install -D -m 644 /dev/stdin "$root/etc/systemd/system/console.service" <<'UNIT'
[Unit]
Description=Root console on the serial line
After=systemd-user-sessions.service
[Service]
Type=idle
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200 ttyAMA0 dumb
Restart=always
StandardInput=tty
StandardOutput=tty
TTYPath=/dev/ttyAMA0
UtmpIdentifier=ttyAMA0
[Install]
WantedBy=multi-user.target
UNIT
systemctl --root="$root" enable console.service 2>/dev/null
systemctl --root="$root" mask serial-getty@ttyAMA0.service 2>/dev/null
install -D -m 644 /dev/stdin "$root/etc/systemd/system.conf.d/emulated.conf" <<'UNIT'
[Manager]
DefaultTimeoutStartSec=900
UNIT
echo "PS1='edgepi-ready# '" >"$root/root/.profile"

install -D -m 644 /dev/stdin "$root/etc/systemd/network/80-dhcp.network" <<'UNIT'
[Match]
Type=ether
[Network]
DHCP=yes
UNIT
systemctl --root="$root" enable systemd-networkd.service 2>/dev/null
# The journal survives power cuts, as on Raspberry Pi OS.
mkdir -p "$root/var/log/journal"
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer e2scrub_reap.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
echo vivid >"$root/etc/modules-load.d/vivid.conf"
# One camera, like a webcam: input 0, a single node for capture.
echo 'options vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x00' >"$root/etc/modprobe.d/vivid.conf"
