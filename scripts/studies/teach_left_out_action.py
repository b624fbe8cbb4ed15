"""How well `edgehar teach` adds an action to a model of interactions that has never seen it.

    python scripts/studies/teach_left_out_action.py DATA WEIGHTS [--out DIR] [--actions hug ...] [OPTION ...]

DATA holds the folders that scripts/release/data/interactions.toml names; WEIGHTS is the encoder, as for
scripts/release/train_shipped.sh. For each action of UT-Interaction, the shipped recipe trains a network without it, and
without sequences 6 to 10; ordinary footage is that of the recipe. The network is then taught the action from its clips
in sequences 1 to 5, with ten clips of the people between the interactions as ordinary. Judged are the clips of
sequences 6 to 10, which neither training nor lesson has seen. `--later-first` learns from 6 to 10 and judges 1 to 5.
A refused lesson leaves the model as it is; `--accept` also takes heads that are not better on held-out clips.

A clip is named by the mean of the scores of its windows. Runs, bundles and features are kept in DIR and used again.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

# The matrices are small: threads of a BLAS library cost more than they save. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from footage_seen import accepting, converted, see

from edgehar.model.network import Network
from edgehar.progress import Progress
from edgehar.teaching.clips import read_clips
from edgehar.teaching.labels import ORDINARY
from edgehar.teaching.teach import teach
from edgehar.teaching.verdict import NotBetterError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edgehar import ModelBundle

ACTIONS = ("handshake", "hug", "kick", "point", "punch", "push")
BACKGROUND, ORDINARY_CLIPS = "none", 10
CLIPS, BETWEEN = "ut_interaction_set1", "ut_interaction_set1_background"
RELEASE = Path(__file__).parents[1] / "release" / "data"
# As scripts/release/train_shipped.sh trains it.
RECIPE = {"model": "mobile", "motion-range": "32", "solver": "closed-form", "head": "float", "size": "80", "ridge": "1"}
NETWORK = ["alpha=0.5", "blocks=13", "taps=11+13", "pool=mean+max", "head=statistics"]
PARTS = {"test-fraction": "0", "val-fraction": "0.1"}


def main() -> int:
    """Leave each action out, teach it, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--out", type=Path, default=Path("teach_left_out_action"), help="folder of runs and bundles")
    parser.add_argument("--actions", nargs="+", default=list(ACTIONS), choices=ACTIONS)
    parser.add_argument("--later-first", action="store_true", help="learn from sequences 6 to 10, judge 1 to 5")
    parser.add_argument("--accept", action="store_true", help="refuse only heads that forget too much")
    args = parser.parse_args()
    data, out = args.data.resolve(), args.out.resolve() / ("later" if args.later_first else "earlier")
    learned = range(6, 11) if args.later_first else range(1, 6)
    print("| action | found | other actions right before, after | background called it | lesson |")
    print("|---|---|---|---|---|")
    with accepting(asked=args.accept), Progress("learning", len(args.actions), unit="actions") as progress:
        for action in args.actions:
            print(judge_action(action, data, args.weights.resolve(), out, learned), flush=True)
            progress.advance(note=action)
    return 0


def judge_action(action: str, data: Path, weights: Path, out: Path, learned: Collection[int]) -> str:
    """Return the row of an action."""
    run = trained(action, data, weights, out, learned)
    rules = ("--background", BACKGROUND, "--max-drop", "5", "--decision", str(RELEASE / "interactions.decision.toml"))
    bundle = converted(run, out / f"{action}.edgehar", *rules)
    new, lesson = out / f"{action}-taught.edgehar", "taught"
    try:
        verdict = teach(bundle, read_clips(lesson_of(action, data, out, learned)), new)
        lesson = "taught" if verdict.method.reach == 1 else f"taught, reach {verdict.method.reach:g}"
    except NotBetterError as error:
        new, lesson = bundle.path, error.verdict.problem or ""
    unseen = {label: [path for path in paths if sequence(path) not in learned] for label, paths in clips(data).items()}
    before, after = named(bundle, bundle, unseen, out), named(bundle, type(bundle).open(new), unseen, out)
    others = [label for label in ACTIONS if label != action]
    right = [sum(found[label][label] for label in others) for found in (before, after)]
    cells = [
        action,
        f"{after[action][action]} of {len(unseen[action])}",
        f"{right[0]}, {right[1]} of {sum(len(unseen[label]) for label in others)}",
        f"{after[BACKGROUND][action]} of {len(unseen[BACKGROUND])}",
        lesson,
    ]
    return f"| {' | '.join(cells)} |"


def clips(data: Path) -> dict[str, list[Path]]:
    """Return the clips of every action, and of people between the interactions."""
    found = {action: sorted((data / CLIPS / action).glob("*.avi")) for action in ACTIONS}
    return found | {BACKGROUND: sorted((data / BETWEEN).glob("*.avi"))}


def sequence(path: Path) -> int:
    """Return the sequence of a clip `<index>_<sequence>_<class>.avi`."""
    return int(path.stem.split("_")[1])


def trained(action: str, data: Path, weights: Path, out: Path, learned: Collection[int]) -> Path:
    """Train a network without an action and without the sequences that are judged, unless it is there."""
    unseen = {
        label: [path for path in paths if sequence(path) not in learned or label == action]
        for label, paths in clips(data).items()
    }
    between = [path.name for path in unseen.pop(BACKGROUND)]
    acted = [f"{path.parent.name}/{path.name}" for paths in unseen.values() for path in paths]
    table = (RELEASE / "interactions.toml").read_text(encoding="utf-8").replace("DATA/", f"{data}/")
    for folder, names in ((CLIPS, acted), (BETWEEN, between)):
        line = f'folder = "{data}/{folder}"\n'
        table = table.replace(line, f"{line}leave_out = {names}\n")
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{action}.toml").write_text(table, encoding="utf-8")
    command = [str(Path(sys.executable).with_name("edgehar-train")), "--dataset", "mixed", "--no-augment", "--resume"]
    settings = {"data": str(out / f"{action}.toml"), "out": str(out / action), **RECIPE, **PARTS}
    command += [word for name, value in settings.items() for word in (f"--{name}", value)]
    subprocess.run([*command, "--model-option", f"weights={weights}", *NETWORK], check=True)
    return out / action


def lesson_of(action: str, data: Path, out: Path, learned: Collection[int]) -> Path:
    """Lay out a lesson as `edgehar teach --data` takes it: links to the clips, and groups.csv."""
    folder, found = out / f"{action}-lesson", clips(data)
    shutil.rmtree(folder, ignore_errors=True)
    between = [path for path in found[BACKGROUND] if sequence(path) in learned]
    # Spread evenly over the sequences.
    ordinary = between[:: max(1, len(between) // ORDINARY_CLIPS)][:ORDINARY_CLIPS]
    rows = []
    for label, paths in ((action, [path for path in found[action] if sequence(path) in learned]), (ORDINARY, ordinary)):
        (folder / label).mkdir(parents=True)
        for path in paths:
            (folder / label / path.name).symlink_to(path)
            rows.append((f"{label}/{path.name}", f"sequence-{sequence(path)}"))
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("clip", "group"), *rows])
    return folder


def named(
    encoder: ModelBundle, bundle: ModelBundle, unseen: Mapping[str, list[Path]], out: Path
) -> dict[str, Counter[str]]:
    """Return how often the clips of each label are given each name, by the head of a bundle."""
    found = {}
    with Network(encoder) as first, Network(bundle) as network:
        for label, paths in unseen.items():
            means = [see(first, str(path), out / "seen").watched(network).scores.mean(axis=0) for path in paths]
            found[label] = Counter(bundle.manifest.labels[int(scores.argmax())] for scores in means)
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
