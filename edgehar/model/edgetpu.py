"""Hardware that runs a network in place of the CPU: Google's Edge TPU, through its delegate library.

The library is loaded by the TFLite runtime itself (`load_delegate`). Where it cannot be used it says nothing, so the
likely cause is looked for here.
"""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path
from typing import Any

from edgehar.errors import ConfigError, RuntimeUnavailableError
from edgehar.model.runtime import load_runtime

CPU, AUTO, EDGE_TPU = "cpu", "auto", "edgetpu"
# Of all of an option's values; a device is a number, a bus, or both.
PATTERN = r"cpu|auto|edgetpu(:([0-9]{1,3}|(usb|pci)(:[0-9]{1,3})?))?"
LIBRARY = "libedgetpu.so.1"
# Names another file to load, for a library that lies elsewhere.
LIBRARY_VARIABLE = "EDGEHAR_EDGETPU_LIBRARY"

_USB_DEVICES = Path("/sys/bus/usb/devices")
_DEV = Path("/dev")
# Vendor and product before its first use, and after the library has given it its firmware.
_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
# What every delegate library must have (TFLite's external_delegate_interface.h).
_FACE = "tflite_plugin_create_delegate"
_INSTALL = "see docs/edgetpu.md for its package"


def check_delegate(delegate: str) -> str:
    """The value itself, when it is one that `delegate` options take.

    Raises:
        ConfigError: it is none.
    """
    if re.fullmatch(PATTERN, delegate) is None:
        raise ConfigError(
            f"delegate is {delegate!r}; it must be cpu, auto, edgetpu, edgetpu:N, edgetpu:usb or edgetpu:pci"
        )
    return delegate


def load_edge_tpu(delegate: str = EDGE_TPU) -> Any:
    """Open an Edge TPU: what the runtime's Interpreter takes as a delegate.

    Args:
        delegate: `edgetpu` for any, `edgetpu:N` for number N, `edgetpu:usb` or `edgetpu:pci` for one on that bus, and
            both (`edgetpu:usb:1`).

    Raises:
        RuntimeUnavailableError: it cannot be had; the message says why, as far as that can be found out.
    """
    runtime = load_runtime()
    library = os.environ.get(LIBRARY_VARIABLE) or LIBRARY
    try:
        # Tried here first: where this fails, the runtime's own attempt leaves noise on standard error.
        has_face = hasattr(ctypes.CDLL(library), _FACE)
    except OSError as error:
        raise RuntimeUnavailableError(_missing(library, error)) from error
    if not has_face:
        raise RuntimeUnavailableError(f"{library} is no TFLite delegate: it has no {_FACE}; {_INSTALL}")
    try:
        return runtime.load_delegate(library, _options(delegate))
    except ValueError as error:
        # The first line only repeats the library's name.
        said = str(error).partition("\n")[2].strip()
        raise RuntimeUnavailableError(f"{delegate}: {said or _likely_cause(library)}") from error


def edge_tpus() -> list[Path]:
    """The device files of the Edge TPUs that are plugged in."""
    on_usb = []
    for vendor in sorted(_USB_DEVICES.glob("*/idVendor")):
        try:
            folder = vendor.parent
            ids = vendor.read_text().strip(), (folder / "idProduct").read_text().strip()
            bus, number = (int((folder / name).read_text()) for name in ("busnum", "devnum"))
        except (OSError, ValueError):
            continue
        if ids in _USB_IDS:
            on_usb.append(_DEV / f"bus/usb/{bus:03}/{number:03}")
    return [*on_usb, *sorted(_DEV.glob("apex_*"))]


def why_not_prepared(error: BaseException) -> str:
    """What the failure of an interpreter that was given an Edge TPU most likely means."""
    return (
        f"the Edge TPU does not take it ({str(error).strip() or 'it said nothing'}): install a libedgetpu "
        "built for this version of the TFLite runtime, or compile the encoder again with a lower --min_runtime_version"
    )


def _options(delegate: str) -> dict[str, str]:
    device = delegate.partition(":")[2]
    if not device:
        return {}
    return {"device": f":{device}" if device.isdigit() else device}


def _missing(library: str, error: OSError) -> str:
    if "No such file" in str(error) or "cannot open shared object" in str(error):
        return f"{library} is not installed; {_INSTALL}, or give its path in {LIBRARY_VARIABLE}"
    return f"{library} cannot be loaded ({error}); {_INSTALL}, for this machine's processor and libc"


def _likely_cause(library: str) -> str:
    """Why a library that loads gives no delegate and no reason, by what can be seen of the machine."""
    devices = edge_tpus()
    if not devices:
        return (
            "no Edge TPU is seen; plug it in, into a port of the machine itself (a hub may give too little power), "
            "with the cable it came with, and look at lsusb for 1a6e:089a or 18d1:9302"
        )
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if len(closed) == len(devices):
        return (
            f"{closed[0]} may not be opened by this user; install the udev rule that comes with libedgetpu, add the "
            "user to its group (sudo usermod -aG plugdev USER), log in again, and plug the Edge TPU in again"
        )
    return (
        f"an Edge TPU is there and may be opened, but {library} gives no delegate; another program may be using it, "
        "its USB port may give too little power, or the library is of another version than the TFLite runtime: "
        "end other programs, plug it in again, and install a libedgetpu built for this runtime"
    )
