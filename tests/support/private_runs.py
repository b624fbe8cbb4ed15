"""Runs of a white video, for tests of what a picture shows."""

import textwrap

from support.helpers import flat_frames, write_video


def white_video(folder, count=125, height=96, width=128):
    """Write a white video; returns its path."""
    return write_video(folder / "white.mp4", flat_frames([235] * count, height, width), codec="libx264")


def configuration(folder, bundle, text):
    """Write a configuration that its user alone may read; returns its path."""
    path = folder / "edgehar.toml"
    path.write_text(f'model = "{bundle}"\noutput = "none"\n{textwrap.dedent(text)}')
    path.chmod(0o600)
    return path
