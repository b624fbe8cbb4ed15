"""Run the conversion in a child process, so that any failure of the converter becomes one readable error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar.errors import ConversionError
from edgehar_training.settings.quantize import HeadKind

if TYPE_CHECKING:
    import keras
    import numpy.typing as npt

    from edgehar.model.manifest import Affine

# Files in the folder of a job.
ENCODER_NETWORK, HEAD_NETWORK, CALIBRATION_FILE = "encoder.keras", "head.keras", "calibration.npz"
ENCODER_FILE, HEAD_FILE, STEP_FILE = "encoder.tflite", "head.tflite", "step.tflite"
ERROR_FILE, LOG_FILE, OPTIONS_FILE = "error.txt", "log.txt", "options.json"

TIMEOUT_S = 900
LOG_LINES = 5


class ConvertJob(msgspec.Struct, frozen=True):
    """Options of a conversion.

    Attributes:
        head: "unrolled", "fused" or "float", see `heads`.
        per_channel: one scale of weights for each output channel; otherwise one for all.
        limits: learned ranges by place; None observes the ranges.
    """

    head: HeadKind = "unrolled"
    per_channel: bool = True
    limits: dict[str, tuple[float, float]] | None = None


DEFAULT_JOB = ConvertJob()


@dataclass(frozen=True)
class Int8Files:
    """The converted files.

    Attributes:
        encoder: network of one frame.
        head: network of one window of features.
        step: network of the features of one frame and the previous state; None if the head has none.
    """

    encoder: bytes
    head: bytes
    step: bytes | None = None


def convert_networks(
    encoder: keras.Model,
    head: keras.Model,
    windows: npt.NDArray[np.int8],
    affine: Affine,
    options: ConvertJob = DEFAULT_JOB,
) -> Int8Files:
    """Convert a trained encoder and head to int8, in a child process.

    Args:
        encoder: `(batch, height, width, 3)` to `(batch, features)`.
        head: `(batch, window, features)` to `(batch, classes)`.
        windows: input of the encoder for the ranges, int8 `(n, window, height, width, 3)`, of the training split only.
        affine: quantization of the input.
        options: how to convert them.

    Raises:
        ConversionError: the network cannot be converted, or the converter crashed or did not end.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="edgehar-convert-") as folder:
            job = Path(folder)
            encoder.save(job / ENCODER_NETWORK)
            head.save(job / HEAD_NETWORK)
            np.savez(job / CALIBRATION_FILE, windows=windows, scale=affine.scale, zero_point=affine.zero_point)
            (job / OPTIONS_FILE).write_bytes(msgspec.json.encode(options))
            _run_worker(job)
            step = job / STEP_FILE
            return Int8Files(
                (job / ENCODER_FILE).read_bytes(),
                (job / HEAD_FILE).read_bytes(),
                step.read_bytes() if step.exists() else None,
            )
    except OSError as error:
        raise ConversionError(
            f"{error.filename or tempfile.gettempdir()}: {error.strerror or error}; free space there, or set TMPDIR to "
            "another folder"
        ) from error


def _run_worker(job: Path) -> None:
    command = [sys.executable, "-P", "-m", "edgehar_training.quantize.worker", str(job)]
    # No GPU: the work is small, and the parent may hold all of its memory.
    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERAS_BACKEND": "tensorflow",
    }
    with (job / LOG_FILE).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own module
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    try:
        code = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise ConversionError(f"the converter did not end within {TIMEOUT_S} s; {_last_lines(job)}") from None
    finally:
        # After Ctrl-C too; it has ended before its folder is removed.
        process.kill()
        process.wait()
    if code == 0:
        return
    if (job / ERROR_FILE).exists():
        raise ConversionError((job / ERROR_FILE).read_text(encoding="utf-8"))
    raise ConversionError(f"the converter {_fate(code)}; {_last_lines(job)}")


def _fate(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL), perhaps because memory ran out: close other programs and convert again"
    if code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"failed (exit code {code})"


def _last_lines(job: Path) -> str:
    lines = [line.strip() for line in (job / LOG_FILE).read_text(encoding="utf-8", errors="replace").splitlines()]
    return "it said last: " + (" | ".join([line for line in lines if line][-LOG_LINES:]) or "nothing")
