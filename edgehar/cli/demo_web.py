"""`edgehar demo --web`: all pages on built-in scenes, in a temporary folder that is removed at the end."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

# Name of each camera, its scene, and a mask or another setting.
_SCENES = (
    ("hall", "synthetic:all?width=416&height=312&subject=44&take=2&duration_s=4", ""),
    (
        "yard",
        "synthetic:all?width=448&height=252&subject=50&take=3&duration_s=4",
        "masks = [[[0.0, 0.0], [0.24, 0.0], [0.24, 0.3], [0.0, 0.3]]]",
    ),
    ("stairs", "synthetic:all?width=416&height=312&subject=60&take=5&duration_s=4", 'pictures = "blurred"'),
)
_RATE_HZ = 25
_CONFIG = """\
# The configuration of this demo. Change it on the pages; it is removed when the demo ends.
model = "actions-synthetic"
output = "none"

[decision]
threshold = 0.7      # below this, the answer is "unknown"
min_duration_s = 2.0

[record]
directory = "recordings"
pre_roll_s = 2.0
post_roll_s = 2.0
max_gb = 0.5

[history]
enabled = true
directory = "history"

[inbox]
enabled = true
keep = "clips"
directory = "inbox"
per_hour = 60
seconds = 3.0
max_mb = 100

[models]
swap = true
directory = "models"
"""


def run_demo(listen: str) -> int:
    """Serve the pages until Ctrl-C or SIGTERM; returns the exit code.

    Args:
        listen: address and port, as `--web` of `edgehar-run` takes it.
    """
    from edgehar.cli.run import run_with
    from edgehar.config import read
    from edgehar.progress import Progress
    from edgehar.web.server import check_installed

    check_installed()
    # Before the scenes are drawn, which takes seconds.
    read(None, None, {"web": {"listen": listen}})
    with tempfile.TemporaryDirectory(prefix="edgehar-demo-") as name:
        folder = Path(name)
        config = _CONFIG
        with Progress("drawing scenes", len(_SCENES), unit="scenes") as progress:
            for camera, address, setting in _SCENES:
                write_scene(folder / f"{camera}.mp4", address)
                config += f'\n[[camera]]\nname = "{camera}"\nsource = "{camera}.mp4"\nloop = true\nrealtime = true\n'
                config += f"{setting}\n" if setting else ""
                progress.advance()
        file = folder / "edgehar.toml"
        file.write_text(config, encoding="utf-8")
        _log.info("the pages are served until Ctrl-C; the cameras are drawn, and %s is removed at the end", folder)
        return run_with(["--config", str(file), "--web", listen])


def write_scene(path: Path, address: str) -> None:
    """Write a built-in scene as a video: decoding it costs less than drawing it again and again.

    Args:
        path: MP4 to write.
        address: of the scene, as a source.
    """
    import av
    import numpy as np

    from edgehar.pictures import as_bgr
    from edgehar.sources import open_source

    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with open_source(address) as scene, av.open(str(path), "w") as container:
        stream: Any = None
        for frame in scene:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(as_bgr(frame)), format="bgr24")
            if stream is None:
                stream = container.add_stream(codec, rate=_RATE_HZ)
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
                # A key frame each second, so that clips begin where they should.
                stream.gop_size = _RATE_HZ
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
