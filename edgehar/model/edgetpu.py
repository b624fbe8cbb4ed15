"""The Edge TPU delegate: hardware that runs an encoder in place of the CPU.

The TFLite runtime loads the library (`load_delegate`). If that fails, the library gives no reason, so this module finds
the likely cause.
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
# Values of `delegate` options. A device is a number, a bus, or both.
PATTERN = r"cpu|auto|edgetpu(:([0-9]{1,3}|(usb|pci)(:[0-9]{1,3})?))?"
LIBRARY = "libedgetpu.so.1"
# Environment variable with the path of a library that is not in the usual place.
LIBRARY_VARIABLE = "EDGEHAR_EDGETPU_LIBRARY"

_USB_DEVICES = Path("/sys/bus/usb/devices")
_DEV = Path("/dev")
# Vendor and product before the first use, and after the library has loaded the firmware.
_USB_IDS = {("1a6e", "089a"), ("18d1", "9302")}
# Function of every delegate library (TFLite's external_delegate_interface.h).
_FACE = "tflite_plugin_create_delegate"
_INSTALL = "see docs/edgetpu.md for its package"


def check_delegate(delegate: str) -> str:
    """Return a value of a `delegate` option.

    Raises:
        ConfigError: the value is invalid.
    """
    if re.fullmatch(PATTERN, delegate) is None:
        raise ConfigError(
            f"delegate is {delegate!r}; it must be cpu, auto, edgetpu, edgetpu:N, edgetpu:usb or edgetpu:pci"
        )
    return delegate


def load_edge_tpu(delegate: str = EDGE_TPU) -> Any:
    """Open an Edge TPU; returns a delegate for the runtime's Interpreter.

    Args:
        delegate: `edgetpu` for any, `edgetpu:N` for number N, `edgetpu:usb` or `edgetpu:pci` for one on that bus, or
            both (`edgetpu:usb:1`).

    Raises:
        RuntimeUnavailableError: it is not available; the message gives the likely cause.
    """
    runtime = load_runtime()
    library = os.environ.get(LIBRARY_VARIABLE) or LIBRARY
    try:
        # Tried here first, because a failure in the runtime writes noise to standard error.
        has_face = hasattr(ctypes.CDLL(library), _FACE)
    except OSError as error:
        raise RuntimeUnavailableError(_missing(library, error)) from error
    if not has_face:
        raise RuntimeUnavailableError(f"{library} is not a TFLite delegate: {_FACE} is missing; {_INSTALL}")
    try:
        return runtime.load_delegate(library, _options(delegate))
    except ValueError as error:
        # The first line only repeats the name of the library.
        said = str(error).partition("\n")[2].strip()
        raise RuntimeUnavailableError(f"{delegate}: {said or _likely_cause(library)}") from error


def edge_tpus() -> list[Path]:
    """Return the device files of the Edge TPUs that are plugged in."""
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
    """Return the likely cause of the failure of an interpreter with an Edge TPU."""
    return (
        f"the Edge TPU refuses it ({str(error).strip() or 'no reason given'}): install a libedgetpu "
        "built for this version of the TFLite runtime, or recompile the encoder with a lower --min_runtime_version"
    )


def _options(delegate: str) -> dict[str, str]:
    device = delegate.partition(":")[2]
    if not device:
        return {}
    return {"device": f":{device}" if device.isdigit() else device}


def _missing(library: str, error: OSError) -> str:
    if "No such file" in str(error) or "cannot open shared object" in str(error):
        return f"{library} is not installed; {_INSTALL}, or set {LIBRARY_VARIABLE} to its path"
    return f"{library} cannot be loaded ({error}); {_INSTALL}, for this machine's processor and libc"


def _likely_cause(library: str) -> str:
    """Return why a library that loads gives no delegate, judging by the devices of the machine."""
    devices = edge_tpus()
    if not devices:
        return (
            "no Edge TPU is found; plug it into a port of the machine, not a hub, with its own cable, and check "
            "that lsusb shows 1a6e:089a or 18d1:9302"
        )
    closed = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    if len(closed) == len(devices):
        return (
            f"this user may not open {closed[0]}; install the udev rule that comes with libedgetpu, add the "
            "user to its group (sudo usermod -aG plugdev USER), log in again, and plug the Edge TPU in again"
        )
    return (
        f"an Edge TPU is present and accessible, but {library} gives no delegate; another program may use it, its USB "
        "port may be too weak, or the library was built for another version of the TFLite runtime: end other "
        "programs, replug it, and install a libedgetpu built for this runtime"
    )
