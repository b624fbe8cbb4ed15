#!/usr/bin/env bash
# Make an arm64 Debian that qemu boots, with edgehar as docs/service.md installs it: scripts/pi/image.sh [SUITE]
#
# SUITE is bookworm (the default) or trixie. Prints the folder of the image, below ~/.cache/edgehar/pi or CACHE. The system and
# the kernel are made once; the disk is made again at each call, in about a minute, from the wheel in dist/ (made if missing).
# Needs root. On Debian and Ubuntu missing packages are installed.
#
#   root.img     the disk: Debian with systemd, the user pi (sudo without a password), a root console on the serial line
#   jobs.img     a second disk, /dev/vdb: wheels of edgehar and all that it needs, packages from dist/ if there are any, and
#                the video of fixtures.py
#   vmlinuz, initrd.gz    Debian's kernel, and an initramfs with the modules that the disk needs
#
# PYTHON=.venv/bin/python   a Python with edgehar, for fixtures.py
# MIRROR=http://deb.debian.org/debian   where Debian comes from
set -euo pipefail
cd "$(dirname "$0")/../.."
here=$PWD/scripts/pi

fail() { echo "image.sh: $1" >&2; exit "${2:-1}"; }

SUITE=${1:-bookworm}
case $SUITE in bookworm) version=3.11 ;; trixie) version=3.13 ;; *) fail "unknown suite '$SUITE'; it must be bookworm or trixie" 2 ;; esac
[ "$(id -u)" -eq 0 ] || fail "needs root, to make a root file system; run it with sudo or in a container"
MIRROR=${MIRROR:-http://deb.debian.org/debian}
cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/edgehar/pi}
folder=$cache/$SUITE
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
exec 9>"$folder/lock"
flock --nonblock 9 || fail "another run uses $folder"

needs=()
for pair in qemu-system-aarch64:qemu-system-arm qemu-img:qemu-utils qemu-aarch64-static:qemu-user-static mmdebstrap:mmdebstrap \
    arch-test:arch-test cpio:cpio depmod:kmod mkfs.ext4:e2fsprogs xz:xz-utils; do
    command -v "${pair%%:*}" >/dev/null || needs+=("${pair#*:}")
done
if [ ${#needs[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "install ${needs[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needs[@]}" >/dev/null
fi

# stage NAME FUNCTION: run it once; its output is shown if it fails.
stage() {
    [ -e "$folder/$1.done" ] && return
    echo "image.sh: $SUITE: $1 ..." >&2
    ("$2") >"$folder/$1.log" 2>&1 || { tail -20 "$folder/$1.log" >&2; fail "$1 failed; full log: $folder/$1.log"; }
    [ "${3:-once}" = always ] || touch "$folder/$1.done"
}

system() {
    mkdir -p "$folder/tmp"
    TMPDIR=$folder/tmp "$here/namespace.py" mmdebstrap --mode=root --architectures=arm64 --variant=minbase \
        --include=systemd-sysv,systemd-timesyncd,udev,dbus,kmod,iproute2,python3,python3-venv,e2fsprogs,ca-certificates,sudo,procps,util-linux-extra \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='force-unsafe-io' "$SUITE" "$folder/root.part.tar" "$MIRROR"
    mv "$folder/root.part.tar" "$folder/root.tar"
    rm -rf "$folder/tmp"
}

# The kernel is unpacked here, because its package would make an initramfs under emulation, for minutes.
kernel() {
    local apt=$folder/apt image
    rm -rf "$apt" "$folder/kernel"
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial} "$folder/kernel"
    : >"$apt/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR $SUITE main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<CONF
APT::Architecture "arm64"; APT::Architectures { "arm64"; }; APT::Sandbox::User "root";
Dir::State "$apt/state"; Dir::State::status "$apt/status"; Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "-"; Dir::Etc::main "-"; Dir::Etc::parts "-";
CONF
    export APT_CONFIG=$apt/apt.conf
    apt-get update -qq
    image=$(apt-cache depends linux-image-arm64 | sed -n 's/^ *Depends: \(linux-image-[^ ]*\).*/\1/p' | head -1)
    (cd "$apt" && apt-get download -qq "$image" busybox-static)
    for package in "$apt"/*.deb; do dpkg-deb -x "$package" "$folder/kernel"; done
    cp "$folder"/kernel/boot/vmlinuz-* "$folder/vmlinuz"
    # Newer releases have /usr/lib/modules; modprobe looks in /lib.
    [ -e "$folder/kernel/lib" ] || ln -s usr/lib "$folder/kernel/lib"
    depmod -b "$folder/kernel" "$(kernel_release)"
}

kernel_release() { basename "$folder"/kernel/lib/modules/*; }

# modules NAME...: the files of these modules and of those that they need, in the order of loading.
modules() {
    local name
    for name in "$@"; do
        modprobe -d "$folder/kernel" -S "$(kernel_release)" --show-depends "$name" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p' || echo "no module $name" >&2
    done | awk '!seen[$0]++'
}

initramfs() {
    local work number=0 file
    work=$(mktemp -d)
    mkdir -p "$work"/{bin,modules,proc,sys,dev,root}
    cp "$(find "$folder/kernel" -name busybox -path '*bin*' -type f | head -1)" "$work/bin/busybox"
    ln -s busybox "$work/bin/sh"
    modules virtio_pci virtio_blk crc32c_generic ext4 virtio_net virtio_rng | while read -r file; do
        number=$((number + 1))
        case $file in
        *.xz) xz -dc "$file" >"$work/modules/$(printf %02d $number).ko" ;;
        *) cp "$file" "$work/modules/$(printf %02d $number).ko" ;;
        esac
    done
    cp "$here/init" "$work/init"
    chmod 755 "$work/init"
    (cd "$work" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$folder/initrd.gz"
    rm -r "$work"
}

disk() {
    local root=$folder/root file
    rm -rf --one-file-system "$root" "$folder/root.img"
    mkdir "$root"
    tar -xf "$folder/root.tar" -C "$root" --exclude='./dev/*'
    # vivid is a virtual V4L2 camera.
    modules vivid softdog i6300esb overlay loop sch_netem virtio_net | while read -r file; do
        install -D -m 644 "$file" "$root/usr/lib/modules/${file#*/lib/modules/}"
    done
    cp "$folder/kernel/lib/modules/$(kernel_release)"/modules.{order,builtin,builtin.modinfo} "$root/usr/lib/modules/$(kernel_release)/"
    depmod -b "$root" "$(kernel_release)"
    "$here/prepare.sh" "$root"
    python3 scripts/release/environment.py --arch arm64 --python "$version" "$(ls dist/edgehar-*aarch64.whl)" "$root/opt/edgehar"
    mkfs.ext4 -q -F -L root -d "$root" "$folder/root.part.img" "${DISK_SIZE:-3G}"
    mv "$folder/root.part.img" "$folder/root.img"
    rm -rf --one-file-system "$root"
}

jobs_disk() {
    local jobs=$folder/jobs
    rm -rf "$jobs"
    mkdir -p "$jobs/wheels"
    python3 scripts/release/environment.py --arch arm64 --python "$version" --download "$(ls dist/edgehar-*aarch64.whl)" "$jobs/wheels"
    cp dist/*"$SUITE"_arm64.deb "$jobs/" 2>/dev/null || true
    cp scripts/release/test_deb_inside.sh "$jobs/"
    "${PYTHON:-.venv/bin/python}" scripts/pi/fixtures.py "$jobs"
    mkfs.ext4 -q -F -d "$jobs" "$folder/jobs.img" 1G
    rm -rf "$jobs"
}

stage system system
stage kernel kernel
stage initramfs initramfs
ls dist/edgehar-*aarch64.whl >/dev/null 2>&1 || scripts/release/wheels.sh aarch64 >&2
stage disk disk always
stage jobs jobs_disk always
echo "$folder"
