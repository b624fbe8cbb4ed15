"""What changes of light cost a model with two looks, and how much of it comes back with `steady_light`.

    python scripts/studies/changing_light.py FOLDER [--model fight] [--every 1] [--hop 5] [--half 0|1]
        [--versions steady flicker ...] [--json FILE]

FOLDER holds <label>/<clip>, and may hold groups.csv (clip, group). Each clip is classified as it is and under
conditions of `edgehar eval`: flicker, shake, both of them, noise. Each is classified without and with changes of light
removed. The weights are the same: the bundle's manifest is changed, nothing is trained. `--half` takes only the cameras
whose name has an even or odd checksum, so that rules can be chosen on the one half and judged on the other.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from camera_shake import Watcher

from edgehar import Frame, LookResizer, ModelBundle, PixelFormat, Resizer, open_source
from edgehar.model.bundle import write_bundle
from edgehar.model.manifest import BASE_HEIGHT, BASE_WIDTH
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid
from edgehar.pictures import as_bgr
from edgehar_training.evaluation.conditions.changes import CONDITIONS, Place, clip_seed
from edgehar_training.scoring.intervals import paired_difference

if TYPE_CHECKING:
    import numpy.typing as npt

# Conditions of each version, one after the other.
VERSIONS = {
    "steady": (),
    "flicker": ("flicker",),
    "shake": ("shake",),
    "flicker and shake": ("flicker", "shake"),
    "noise": ("noise",),
}


def main() -> None:
    """Classify all clips, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="fight", help="bundle or name of a shipped model (fight)")
    parser.add_argument("--every", type=int, default=1, help="use every so manyth clip of a label (1)")
    parser.add_argument("--hop", type=int, default=5, help="frames between answers (5)")
    parser.add_argument("--labels", nargs="+", help="folders (default: the labels of the model)")
    parser.add_argument("--versions", nargs="+", default=list(VERSIONS), choices=list(VERSIONS))
    parser.add_argument("--half", type=int, choices=(0, 1), help="only this half of the cameras")
    parser.add_argument("--json", type=Path, help="write all answers here")
    args = parser.parse_args()
    plain = ModelBundle.open(args.model)
    action = next(label for label in plain.manifest.labels if label not in plain.manifest.decision.background)
    groups, found = groups_of(args.folder), []
    with tempfile.TemporaryDirectory() as folder:
        networks = {"": Network(plain), ", steady light": Network(in_steady_light(plain, Path(folder)))}
        for label in args.labels or plain.manifest.labels:
            for path in sorted(path for path in (args.folder / label).glob("*") if path.is_file())[:: args.every]:
                clip = f"{label}/{path.name}"
                group = groups.get(clip, clip)
                if args.half is not None and zlib.crc32(group.encode()) % 2 != args.half:
                    continue
                row = answers_for(networks, path, action, args.hop, args.versions)
                found.append({"clip": clip, "group": group, "action": label == action, **row})
                print(clip, f"{row['lit']} of {row['frames']}", flush=True)
                if args.json:
                    args.json.write_text(json.dumps(found))
    print_table(found)
    touched = [row for row in found if row["lit"]]
    frames, lit = (sum(row[key] for row in found) for key in ("frames", "lit"))
    print(f"\nA gain in {len(touched)} of {len(found)} clips as recorded, in {lit} of {frames} frames.")


def groups_of(folder: Path) -> dict[str, str]:
    """Return the group of each clip that groups.csv names."""
    path = folder / "groups.csv"
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["clip"]: row["group"] for row in csv.DictReader(file)}


def in_steady_light(plain: ModelBundle, folder: Path) -> ModelBundle:
    """Return the bundle with `steady_light` in its manifest."""
    changed = msgspec.structs.replace(plain.manifest.input, steady_light=True)
    files = {name: content for name, content in plain.files.items() if name != "labels.txt"}
    write_bundle(folder / "steady.edgehar", msgspec.structs.replace(plain.manifest, input=changed), files)
    return ModelBundle.open(folder / "steady.edgehar")


def answers_for(networks: dict[str, Network], path: Path, label: str, hop: int, versions: list[str]) -> dict[str, Any]:
    """Return the answers for all versions of a clip without and with steady light, and how many frames have a gain."""
    watchers = {(name, kind): Watcher(network, hop, label) for name in versions for kind, network in networks.items()}
    manifest = networks[""].bundle.manifest
    grid, frames, lit = TimeGrid(manifest.temporal.rate_hz), 0, 0
    with (
        Resizer(BASE_HEIGHT, BASE_WIDTH, dtype="uint8") as resizer,
        LookResizer(8, 8, stabilize=manifest.input.stabilize, steady_light=True) as probe,
        open_source(path) as source,
    ):
        for number, frame in enumerate(source):
            at_s = frame.captured_s
            if not grid.accepts(at_s):
                continue
            for name in versions:
                picture = changed(as_bgr(frame), VERSIONS[name], path.name, number)
                small = resizer.resize(Frame(np.ascontiguousarray(picture), PixelFormat.BGR24, at_s, at_s, number))
                if name == "steady":
                    probe.resize(Frame(small, PixelFormat.RGB24, at_s, at_s, number))
                    frames, lit = frames + 1, lit + (probe.gain != 1)
                for kind in networks:
                    watchers[name, kind].push(Frame(small, PixelFormat.RGB24, at_s, at_s, number))
    answers = {name + kind: watcher.finish() for (name, kind), watcher in watchers.items()}
    return {"frames": frames, "lit": lit, "answers": answers}


def changed(
    picture: npt.NDArray[np.uint8], conditions: tuple[str, ...], clip: str, number: int
) -> npt.NDArray[np.uint8]:
    """Return a frame under conditions."""
    for name in conditions:
        change = CONDITIONS[name].change
        assert change is not None
        picture = change(picture, Place(clip_seed(name, clip), number))
    return picture


def print_table(found: list[dict[str, Any]]) -> None:
    """Print clips that are right and their difference to the steady clips as today, windows that differ, and events."""
    print(
        "\n| pictures | clips right | difference, points | windows changed | \\|score\\| | events in actions, others |"
    )
    print("|---|---|---|---|---|---|")
    groups = [row["group"] for row in found]
    truth = [row["action"] for row in found]
    before = [np.array(row["answers"]["steady"]["scores"]) for row in found]
    was = [bool((scores.mean() > 0.5) == action) for scores, action in zip(before, truth, strict=True)]
    for name in found[0]["answers"]:
        scores = [np.array(row["answers"][name]["scores"]) for row in found]
        right = [bool((one.mean() > 0.5) == action) for one, action in zip(scores, truth, strict=True)]
        by = paired_difference(was, right, groups)
        low, high = (100 * side for side in by.interval_95)
        flipped = np.concatenate([(a > 0.5) != (b > 0.5) for a, b in zip(scores, before, strict=True)])
        moved = np.concatenate([np.abs(a - b) for a, b in zip(scores, before, strict=True)])
        raised = [row["answers"][name]["events"] > 0 for row in found]
        events = [sum(r for r, a in zip(raised, truth, strict=True) if a == kind) for kind in (True, False)]
        cells = [f"{sum(right)} of {len(right)}", f"{100 * by.mean:+.1f} ({low:+.1f} to {high:+.1f})"]
        cells += [f"{flipped.mean():.1%} of {len(flipped)}", f"{moved.mean():.3f}", f"{events[0]}, {events[1]}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
