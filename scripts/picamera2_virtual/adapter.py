"""Adapt picamera2 for edgehar's source where libcamera's virtual camera differs from a Raspberry Pi's.

Import it before edgehar opens a camera: `picamera2.Picamera2` is then `VirtualCamera`. What it changes is all here:
sensor modes are made up, there being no sensor; pictures are queued at a camera's pace, as the virtual one fills them
as fast as it can; NV12, its only format, is rearranged to the YUV420 that was asked for, inside the library's own
buffer; and frame buffers are described to libcamera with one plane for each of NV12's, where picamera2 describes
a single one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Any

import libcamera
import numpy as np
import picamera2

if TYPE_CHECKING:
    from collections.abc import Iterator

RATE_HZ = 100.0
SIZE = (640, 480)

_plain_frame_buffer = libcamera.FrameBuffer


def _frame_buffer(planes: list[Any]) -> Any:
    """A frame buffer with Y and UV as planes of their own, which libcamera's virtual camera insists on."""
    luma, chroma = planes[0], libcamera.FrameBuffer.Plane()
    start = luma.length * 2 // 3
    chroma.fd, chroma.offset, chroma.length = luma.fd, start, luma.length - start
    luma.length = start
    return _plain_frame_buffer([luma, chroma])


_frame_buffer.Plane = _plain_frame_buffer.Plane  # type: ignore[attr-defined]


class _PacedCamera:
    """A `libcamera.Camera` to which requests go one a period, as a sensor would fill them."""

    def __init__(self, camera: Any) -> None:
        self._camera, self._running = camera, False
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._camera, name)

    def start(self, controls: Any) -> None:
        self._camera.start(controls)
        self._requests, self._running = queue.SimpleQueue(), True
        self._thread = threading.Thread(target=self._feed, args=(self._requests,), daemon=True)
        self._thread.start()

    def queue_request(self, request: Any) -> None:
        self._requests.put(request)

    def stop(self) -> None:
        self._running = False
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join()
            self._thread = None
        self._camera.stop()

    def _feed(self, requests: queue.SimpleQueue[Any]) -> None:
        while self._running:
            time.sleep(1 / RATE_HZ)
            request = requests.get()
            if request is not None and self._running:
                self._camera.queue_request(request)


class VirtualCamera(picamera2.Picamera2):
    """`Picamera2` on libcamera's virtual camera."""

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        return [{"format": "NV12", "size": SIZE}]

    def _grab_camera(self, index: int) -> Any:
        return _PacedCamera(super()._grab_camera(index))

    @property
    def sensor_modes(self) -> list[dict[str, Any]]:
        """One mode, of the whole view."""
        return [{"format": "NV12", "size": SIZE, "bit_depth": 8, "fps": RATE_HZ, "crop_limits": (0, 0, *SIZE)}]

    def configure(self, camera_config: Any) -> None:
        """Configure, and pass what became NV12 off as YUV420."""
        super().configure(camera_config)
        if self.camera_config["lores"]["format"] != "NV12":
            raise RuntimeError("the virtual camera was expected to give NV12")
        self.camera_config["lores"]["format"] = "YUV420"

    @contextlib.contextmanager
    def captured_request(self, wait: float | None = None, flush: bool | None = None) -> Iterator[Any]:
        """A request whose `lores` picture is I420."""
        with super().captured_request(wait=wait, flush=flush) as request:
            with picamera2.MappedArray(request, "lores", reshape=False) as mapped:
                chroma = mapped.array[mapped.array.size * 2 // 3 :]
                chroma[:] = np.concatenate([chroma[0::2], chroma[1::2]])
                del chroma
            yield request


libcamera.FrameBuffer = _frame_buffer
picamera2.Picamera2 = VirtualCamera
