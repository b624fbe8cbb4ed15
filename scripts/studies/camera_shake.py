"""What camera shake costs a model with two looks, and how much of it comes back with `stabilize`.

    python scripts/studies/camera_shake.py FOLDER [--model fight] [--every 12] [--hop 5] [--steady-only] [--json FILE]

FOLDER holds <label>/<clip>. Each clip is classified as it is, and with its frames moved: within 1 % of the width in
both directions ("moved", of a picture whose border is left out, so that it is never empty), and by the condition
`shake` of `edgehar eval` (Gaussian, standard deviation 1 % of the width, borders repeated). Each is classified without
and with the motion of the picture removed. The weights are the same: the bundle's manifest is changed, nothing is
trained.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgehar import Classifier, Frame, ModelBundle, PixelFormat, Resizer, open_source
from edgehar.events.decider import Decider
from edgehar.events.options import DecisionOptions
from edgehar.model.bundle import write_bundle
from edgehar.model.manifest import BASE_HEIGHT, BASE_WIDTH
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid
from edgehar.pictures import as_bgr
from edgehar_training.evaluation.conditions.changes import CONDITIONS, Place, clip_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    BGR = npt.NDArray[np.uint8]

SHARE = 0.01


class Watcher:
    """Answers of one network to one version of a clip."""

    def __init__(self, network: Network, hop: int, label: str) -> None:
        manifest = network.bundle.manifest
        self._classifier = Classifier(network, hop=hop)
        self._decider = Decider(manifest.labels, DecisionOptions(), manifest.decision)
        self._label, self.scores, self.events = label, list[float](), 0

    def push(self, frame: Frame) -> None:
        """Take a frame of the base picture's size."""
        self._note(self._classifier.push(frame))

    def finish(self) -> dict[str, object]:
        """Return the scores of the label and the number of events."""
        self._note(self._classifier.flush())
        self._classifier.close()
        return {"scores": [round(score, 4) for score in self.scores], "events": self.events}

    def _note(self, answer: object) -> None:
        if answer is not None:
            self.scores.append(answer.scores[self._label])  # type: ignore[attr-defined]
            _, events = self._decider.update(answer)  # type: ignore[arg-type]
            self.events += sum(event.phase == "start" for event in events)


def main() -> None:
    """Classify all clips, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="fight", help="bundle or name of a shipped model (fight)")
    parser.add_argument("--every", type=int, default=12, help="use every so manyth clip of a label (12)")
    parser.add_argument("--hop", type=int, default=5, help="frames between answers (5)")
    parser.add_argument("--labels", nargs="+", help="folders (default: the labels of the model)")
    parser.add_argument("--steady-only", action="store_true", help="do not move frames")
    parser.add_argument("--json", type=Path, help="write all answers here")
    args = parser.parse_args()
    plain = ModelBundle.open(args.model)
    action = next(label for label in plain.manifest.labels if label not in plain.manifest.decision.background)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        steady = Path(folder) / "steady.edgehar"
        changed = msgspec.structs.replace(plain.manifest.input, stabilize=True)
        files = {name: content for name, content in plain.files.items() if name != "labels.txt"}
        write_bundle(steady, msgspec.structs.replace(plain.manifest, input=changed), files)
        networks = {"": Network(plain), ", stabilized": Network(ModelBundle.open(steady))}
        for label in args.labels or plain.manifest.labels:
            for path in sorted(path for path in (args.folder / label).glob("*") if path.is_file())[:: args.every]:
                answers = answers_for(networks, path, action, args.hop, moved=not args.steady_only)
                found.append({"clip": f"{label}/{path.name}", "action": label == action, "answers": answers})
                rows = [f"{np.mean(one['scores']):.2f} {one['events']}" for one in answers.values()]
                print(found[-1]["clip"], *rows, sep=" | ", flush=True)
    if args.json:
        args.json.write_text(json.dumps(found))
    print_table(found)


def answers_for(
    networks: dict[str, Network], path: Path, label: str, hop: int, *, moved: bool
) -> dict[str, dict[str, object]]:
    """Return the answers for all versions of a clip, without and with stabilizing."""
    names = ("steady", "moved", "shake") if moved else ("steady",)
    watchers = {(name, kind): Watcher(network, hop, label) for name in names for kind, network in networks.items()}
    with Resizer(BASE_HEIGHT, BASE_WIDTH, dtype="uint8") as resizer:
        for at_s, number, versions in frames_of(path, networks[""].bundle.manifest.temporal.rate_hz):
            for name, picture in versions.items():
                if name not in names:
                    continue
                small = resizer.resize(Frame(np.ascontiguousarray(picture), PixelFormat.BGR24, at_s, at_s, number))
                for kind in networks:
                    watchers[name, kind].push(Frame(small, PixelFormat.RGB24, at_s, at_s, number))
    return {name + kind: watcher.finish() for (name, kind), watcher in watchers.items()}


def frames_of(path: Path, rate_hz: float) -> Iterator[tuple[float, int, dict[str, BGR]]]:
    """Return time, number and versions of every frame that the model uses."""
    grid, rng, shake = TimeGrid(rate_hz), np.random.default_rng(1), CONDITIONS["shake"].change
    assert shake is not None
    with open_source(path) as source:
        for number, frame in enumerate(source):
            if not grid.accepts(frame.captured_s):
                continue
            picture = as_bgr(frame)
            height, width = picture.shape[:2]
            most = max(2, round(SHARE * width))
            right, down = rng.integers(-most, most + 1, 2).tolist()
            inner = picture[most + down : height - most + down, most + right : width - most + right]
            place = Place(clip_seed("shake", path.name), number)
            yield frame.captured_s, number, {"steady": picture, "moved": inner, "shake": shake(picture, place)}


def print_table(found: list[dict[str, object]]) -> None:
    """Print, for each version, clips that are right, clips that raise an event, and windows that differ."""
    print("\n| pictures | clips right | actions with an event | others with one | events | |score| | windows changed |")
    print("|---|---|---|---|---|---|---|")
    for name in found[0]["answers"]:  # type: ignore[attr-defined]
        right, raised, events, changed, differences = 0, {True: 0, False: 0}, 0, list[float](), list[float]()
        for row in found:
            one, steady = row["answers"][name], row["answers"]["steady"]  # type: ignore[index]
            scores, before = np.array(one["scores"]), np.array(steady["scores"])
            right += bool((scores.mean() > 0.5) == row["action"])
            raised[bool(row["action"])] += one["events"] > 0
            events += one["events"]
            count = min(len(scores), len(before))
            changed += ((scores[:count] > 0.5) != (before[:count] > 0.5)).tolist()
            differences += np.abs(scores[:count] - before[:count]).tolist()
        cells = [f"{right} of {len(found)}", raised[True], raised[False], events]
        cells += [f"{np.mean(differences):.3f}", f"{np.mean(changed):.1%} of {len(changed)}"]
        print(f"| {name} | {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    main()
