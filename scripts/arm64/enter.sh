#!/usr/bin/env bash
# Run a command inside an arm64 root file system: scripts/arm64/enter.sh ROOTFS COMMAND [ARGUMENT...]
#
# Runs as root in its own mount namespace if the machine allows it: /dev, /proc and /sys are mounted for this command only
# and disappear when it ends, so the folder can be removed at any time. In a container without the right to mount, proot
# does the same without privileges, but slower.
#
# BIND="FROM:TO ..."  folders of this machine to show inside, read-write; TO is created if missing
# QEMU_CPU=cortex-a72 the processor to emulate (a variable of qemu). For cortex-a72 (Raspberry Pi 4) and cortex-a76 (Pi 5)
#                     /proc/cpuinfo names it too, because the TFLite runtime chooses its kernels from that file
# ENTER=proot         always use proot
# ARCH=amd64          the root file system has this machine's own architecture; nothing is emulated
set -euo pipefail

ARCH=${ARCH:-arm64}
HANDLER=/proc/sys/fs/binfmt_misc/qemu-aarch64

# Register qemu with the kernel, so that it starts arm64 programs. Called in the new mount namespace.
register() {
    [ "$ARCH" = arm64 ] || return 0
    [ -e "$HANDLER" ] && return
    [ -e /proc/sys/fs/binfmt_misc/register ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc 2>/dev/null || return
    [ -e "$HANDLER" ] && return
    cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register 2>/dev/null
}

# Write the /proc/cpuinfo of a Raspberry Pi, with one entry for each processor of this machine; qemu would show this
# machine's own.
pi_cpuinfo() {
    local part features number
    case ${QEMU_CPU:-} in
    cortex-a72) part=0xd08 features="fp asimd evtstrm crc32 cpuid" ;;
    cortex-a76) part=0xd0b features="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp" ;;
    *) return ;;
    esac
    for ((number = 0; number < $(nproc); number++)); do
        printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\n' "$number" "$features"
        printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' "$part"
    done >"$1/run/cpuinfo-$QEMU_CPU"
    echo "$1/run/cpuinfo-$QEMU_CPU"
}

in_chroot() {
    local root=$1 pair from to
    shift
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/dev/shm" 2>/dev/null || true
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys" 2>/dev/null || true
    from=$(pi_cpuinfo "$root")
    [ -z "$from" ] || mount --bind "$from" "$root/proc/cpuinfo"
    for pair in ${BIND:-}; do
        from=${pair%%:*} to=$root${pair#*:}
        if [ -d "$from" ]; then mkdir -p "$to"; else mkdir -p "${to%/*}" && touch "$to"; fi
        mount --bind "$from" "$to"
    done
    # Not with exec, because this shell is process 1 here, which handles signals differently.
    chroot "$root" /usr/bin/env -i "${INSIDE[@]}" "$@"
}

in_proot() {
    local root=$1 pair from
    shift
    local binds=(-b /dev -b /proc -b /sys) emulate=()
    [ "$ARCH" != arm64 ] || emulate=(-q qemu-aarch64-static)
    from=$(pi_cpuinfo "$root")
    [ -z "$from" ] || binds+=(-b "$from:/proc/cpuinfo")
    for pair in ${BIND:-}; do binds+=(-b "$pair"); done
    command -v proot >/dev/null || { echo "enter.sh: mounting is not allowed; install proot: apt-get install proot" >&2; exit 1; }
    exec proot -0 "${emulate[@]}" -r "$root" -w / "${binds[@]}" /usr/bin/env -i "${INSIDE[@]}" "$@"
}

# The environment inside: only the variables that reach package registries are passed on.
INSIDE=(PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
for name in QEMU_CPU QEMU_LOG QEMU_LOG_FILENAME QEMU_DFILTER http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY PIP_INDEX_URL PIP_DEFAULT_TIMEOUT; do
    [ -n "${!name:-}" ] && INSIDE+=("$name=${!name}")
done

if [ "${1:-}" = --in-namespace ]; then
    shift
    register || { echo "enter.sh: binfmt_misc is not available; using proot" >&2; in_proot "$@"; }
    in_chroot "$@"
    exit
fi
for pair in ${BIND:-}; do
    [ -e "${pair%%:*}" ] || { echo "enter.sh: BIND: ${pair%%:*} does not exist" >&2; exit 2; }
done
[ $# -ge 2 ] || { echo "usage: enter.sh ROOTFS COMMAND [ARGUMENT...]" >&2; exit 2; }
if [ "${ENTER:-}" != proot ] && unshare --mount --pid --fork --kill-child true 2>/dev/null; then
    exec unshare --mount --pid --fork --kill-child --propagation private "$0" --in-namespace "$@"
fi
in_proot "$@"
