"""What camera shake costs a model, and how much of it comes back if global motion is removed first.

    python scripts/studies/camera_shake.py FOLDER [--model fight] [--every 12] [--share 0.01]

FOLDER holds <label>/<clip>. Every picture is moved by a random number of pixels, up to a share of the width, in both
directions. Global motion is estimated in whole pixels of a 320x240 picture: means of the columns of four bands, and of
the rows of four others, are compared with those of a slow reference at every shift up to 8; the median of the four
counts. The picture is then moved back. Each model answers for the steady, the moved and the corrected pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgehar import Classifier, Frame, PixelFormat, Resizer, open_source
from edgehar.model.network import Network
from edgehar.pictures import as_bgr

HEIGHT, WIDTH, MOST, BANDS = 240, 320, 8, 4
# Share of each picture in the reference.
NEW = 0.1
WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)
BGR = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="fight", help="bundle or name of a shipped model (fight)")
    parser.add_argument("--every", type=int, default=12, help="use every so manyth clip of a label (12)")
    parser.add_argument("--share", type=float, default=0.01, help="largest move, as a share of the width (0.01)")
    args = parser.parse_args()
    network = Network(args.model)
    found: dict[str, list[tuple[bool, float, float]]] = {}
    for label in network.bundle.manifest.labels:
        for path in sorted((args.folder / label).glob("*"))[:: args.every]:
            clip = answers(network, path, label, args.share)
            steady = clip["steady"]
            for name, scores in clip.items():
                changed = float(((scores > 0.5) != (steady > 0.5)).mean())
                row = (bool(scores.mean() > 0.5), float(np.abs(scores - steady).mean()), changed)
                found.setdefault(name, []).append(row)
            print(path.name, label, *(f"{scores.mean():.2f}" for scores in clip.values()), flush=True)
    print("pictures             clips right  |score|  windows that change")
    for name, rows in found.items():
        right, scores, changed = np.array(rows, float).T
        print(f"{name:<20} {int(right.sum()):5} of {len(right):3} {scores.mean():8.3f} {changed.mean():20.1%}")


def answers(network: Network, path: Path, label: str, share: float) -> dict[str, Floats]:
    """Return the scores of the label for all windows of a clip: steady, moved, and with the motion removed."""
    with open_source(path) as source:
        frames = [(as_bgr(frame).copy(), frame.captured_s) for frame in source]
    times = [captured_s for _, captured_s in frames]
    height, width = frames[0][0].shape[:2]
    most = max(2, round(share * width))
    moves = np.random.default_rng(1).integers(-most, most + 1, (len(frames), 2))
    room = 2 * most

    def cut(picture: BGR, right: int, down: int) -> BGR:
        inner = picture[room + down : height - room + down, room + right : width - room + right]
        return np.ascontiguousarray(inner)

    steady = [cut(picture, 0, 0) for picture, _ in frames]
    moved = [cut(picture, *move) for (picture, _), move in zip(frames, moves.tolist(), strict=True)]
    variants = {
        "steady": steady,
        "moved": moved,
        "moved, corrected": corrected(moved),
        "steady, corrected": corrected(steady),
    }
    return {name: scores_of(network, pictures, times, label) for name, pictures in variants.items()}


def scores_of(network: Network, pictures: list[BGR], times: list[float], label: str) -> Floats:
    """Return the score of a label for every window."""
    with Classifier(network, hop=1) as classifier:
        found = [classifier.push(picture, captured_s=at_s) for picture, at_s in zip(pictures, times, strict=True)]
        found += [classifier.flush()]
    return np.array([answer.scores[label] for answer in found if answer is not None], np.float32)


def corrected(pictures: list[BGR]) -> list[BGR]:
    """Return pictures that are moved to where the reference is."""
    resizer, small = Resizer(HEIGHT, WIDTH, dtype="uint8"), np.empty((HEIGHT, WIDTH, 3), np.uint8)

    def gray(picture: BGR) -> Floats:
        resizer.resize_into(Frame(picture, PixelFormat.RGB24, 0.0, 0.0, 0), small)
        levels: Floats = small.astype(np.float32) @ WEIGHTS
        return levels

    reference, done = gray(pictures[0]), [pictures[0]]
    height, width = pictures[0].shape[:2]
    room = max(MOST * height // HEIGHT, MOST * width // WIDTH) + 1
    for picture in pictures[1:]:
        right, down = motion(gray(picture), reference)
        across, along = round(right * width / WIDTH), round(down * height / HEIGHT)
        wide = np.pad(picture, ((room, room), (room, room), (0, 0)), mode="edge")
        back = wide[room + along : room + along + height, room + across : room + across + width]
        done.append(np.ascontiguousarray(back))
        reference = (1 - NEW) * reference + NEW * gray(done[-1])
    return done


def motion(now: Floats, reference: Floats) -> tuple[int, int]:
    """Return how far the picture has moved, in whole pixels right and down."""
    found = []
    for axis in (0, 1):
        bands = zip(np.array_split(now, BANDS, axis), np.array_split(reference, BANDS, axis), strict=True)
        found.append(int(np.median([shift(one.mean(axis), other.mean(axis)) for one, other in bands])))
    return found[0], found[1]


def shift(now: Floats, reference: Floats) -> int:
    """Return the shift at which two rows of means differ least."""
    middle = reference[MOST : len(reference) - MOST]
    middle = middle - middle.mean()

    def difference(by: int) -> float:
        part = now[MOST + by : len(now) - MOST + by]
        return float(np.abs(part - part.mean() - middle).mean())

    return min(range(-MOST, MOST + 1), key=difference)


if __name__ == "__main__":
    main()
