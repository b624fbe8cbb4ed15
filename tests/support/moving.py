"""A data set that a network learns in seconds: a bright bar that moves, and one that stands still."""

import numpy as np

from support.helpers import write_video

LABELS = ("moving", "still")


def write_moving_bars(folder, clips_per_label=8, groups=8, frames=16):
    """`<label>/<n>.mp4` of 64x64 and 25 Hz, and `groups.csv` that puts clips of both labels into each group."""
    rows = ["clip,label,group"]
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(clips_per_label):
            name = f"{label}/{number}.mp4"
            write_video(folder / name, _frames(label == "moving", number, frames), rate_hz=25)
            rows.append(f"{name},{label},place{number % groups}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")
    return folder


def _frames(moving, number, count):
    rng = np.random.default_rng(number)
    background = rng.integers(20, 60, (64, 64, 1), np.uint8).repeat(3, axis=2)
    start = int(rng.integers(0, 30))
    for index in range(count):
        image = background.copy()
        left = (start + 6 * index) % 52 if moving else start
        image[:, left : left + 12] = 220
        yield image
