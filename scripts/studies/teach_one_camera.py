"""What the ordinary footage of one camera teaches the fight detector, and what it makes it forget.

    python scripts/studies/teach_one_camera.py RUN CCTV FIGHTS [--work DIR] [--accept] [--no-memory] [--json FILE]

RUN is a cross-validation by cameras with int8 networks (`edgehar-train --folds 5 --int8`); folds that are not finished
are left out. CCTV holds `ordinary` and `fight`, FIGHTS is a folder of fights. Each fold's network becomes a bundle with
the rules of the shipped one. `edgehar teach` then gets moments of the first half of every recording of a camera that
the fold has not seen, all labeled ordinary, from an inbox. Judged are alarms in the second halves, and fights of
cameras that the fold has not seen, each recording as a stream of its own. A refused lesson leaves the model as it is.
`--accept` also takes heads that are not better on held-out moments. `--no-memory` takes the remembered training windows
out of the bundles, so that nothing guards what is forgotten.

Bundles, and the features of every recording, are kept in DIR and used again.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import math
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The matrices are small: threads of a BLAS library cost more than they save. Read when numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from footage_seen import Seen, accepting, converted, see

from edgehar.events.poisson import poisson_interval
from edgehar.model.network import Network
from edgehar.progress import Progress
from edgehar.teaching.clips import read_inbox
from edgehar.teaching.inbox import Facts, Inbox
from edgehar.teaching.labels import ORDINARY, Label, write_label
from edgehar.teaching.score_log import folder_name
from edgehar.teaching.teach import teach
from edgehar.teaching.verdict import NotBetterError
from edgehar_training.alarms.counting import Incident, tally
from edgehar_training.alarms.decisions import Rule, alarm_spans
from edgehar_training.alarms.folds import Share, shares_of
from edgehar_training.alarms.recordings import Recording, find_recordings
from edgehar_training.evaluation.stored import runs_in
from edgehar_training.runs.run import BUNDLE_FILE, load_run
from edgehar_training.scoring.intervals import group_bootstrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgehar import ModelBundle
    from edgehar_training.alarms.watching import Watched

ACTION, BACKGROUND = "fight", "noFight"
RULES = Path(__file__).parents[1] / "release" / "data" / "fight.decision.toml"
# The shipped threshold is among them.
THRESHOLDS, SHIPPED = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7), 0.3
# Footage that a camera needs, the length of a moment, and borders of incidents that do not count, in seconds.
LEAST_S, MOMENT_S, TOLERANCE_S = 16.0, 3.0, 3.0
# Moments of one recording are held out in so many stretches, if the camera has no other recording.
STRETCHES = 5


def main() -> int:
    """Teach every camera, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("cctv", type=Path)
    parser.add_argument("fights", type=Path)
    parser.add_argument("--work", type=Path, default=Path("teach_one_camera"), help="folder of bundles and features")
    parser.add_argument("--accept", action="store_true", help="refuse only heads that forget too much")
    parser.add_argument("--no-memory", action="store_true", help="teach bundles that remember no training windows")
    parser.add_argument("--json", type=Path, help="write the answers of all cameras here")
    args = parser.parse_args()
    recordings, _ = find_recordings([args.cctv / "ordinary"], [args.cctv / "fight", args.fights], [ACTION])
    folders = runs_in(args.run)
    runs = [load_run(path) for path in folders if (path / BUNDLE_FILE).exists()]
    print(f"{len(runs)} of {len(folders)} folds are finished", file=sys.stderr)
    shares, _ = shares_of(runs, recordings)
    rows = []
    total = sum(len(share.test) for share in shares)
    with accepting(asked=args.accept), Progress("seeing", total, unit="recordings") as progress:
        for share in shares:
            rows += judge_fold(share, args.work, progress, memory=not args.no_memory)
            if args.json:
                args.json.write_text(json.dumps(rows, indent=1))
    print_alarms(rows)
    print_cameras(rows)
    return 0


def judge_fold(share: Share, work: Path, progress: Progress, *, memory: bool) -> list[dict[str, Any]]:
    """Return a row for each camera of a fold."""
    fold = f"{share.run.path.parent.name}-{share.run.path.name}"
    options = ("--background", BACKGROUND, "--max-drop", "5", "--decision", str(RULES))
    bundle = converted(share.run.path, work / f"{fold}.edgehar", *options, memory=memory)
    cameras: dict[str, list[tuple[Recording, Seen]]] = defaultdict(list)
    fights: list[tuple[Recording, Seen]] = []
    rows = []
    with Network(bundle) as network:
        for recording in share.test:
            seen = see(network, recording.path, work / "seen")
            (cameras[recording.camera] if recording.ordinary else fights).append((recording, seen))
            progress.advance(note=recording.name)
        before = found_in(network, fights)
        for camera, own in sorted(cameras.items()):
            if sum(seen.length_s for _, seen in own) < LEAST_S:
                continue
            row = {"fold": fold, "camera": camera, "alarms": alarms_in(network, own), "found": before}
            row |= {"seconds": sum(seen.length_s / 2 for _, seen in own), "fights": [one.name for one, _ in fights]}
            out = work / ("taught" if memory else "taught-no-memory") / f"{fold}-{folder_name(camera)}.edgehar"
            row |= taught(bundle, own, out)
            row |= {"alarms_after": row["alarms"], "found_after": before}
            if row["problem"] is None:
                with Network(out) as new:
                    row |= {"alarms_after": alarms_in(new, own), "found_after": found_in(new, fights)}
            rows.append(row)
            print(f"{fold} {camera}: {row['problem'] or 'taught'}", file=sys.stderr)
    return rows


def taught(bundle: ModelBundle, own: Sequence[tuple[Recording, Seen]], out: Path) -> dict[str, Any]:
    """Teach the first halves of a camera's recordings from an inbox; return what the command says.

    Moments of one recording are of one day, and its stretches are hours: the product holds out days, or hours if there
    is one day.
    """
    manifest, inbox = bundle.manifest, Inbox(out.with_suffix(""))
    facts: dict[str, Any] = {"source": own[0][0].camera, "why": "random", "model": manifest.name, "answer": BACKGROUND}
    facts |= {"encoder": manifest.files["encoder.tflite"], "head": manifest.files["head.tflite"][:8]}
    for item in inbox.items():
        item.remove()
    for day, (_, seen) in enumerate(own, start=1):
        # Differences to frames before the first ones are no true motion, and a running camera has none of these.
        first_s, last_s = seen.times_s[manifest.temporal.lead_in], seen.length_s / 2
        edges = np.linspace(first_s, last_s, max(1, math.ceil((last_s - first_s) / MOMENT_S)) + 1)
        for number, (begin_s, end_s) in enumerate(itertools.pairwise(edges)):
            inside = seen.features[(seen.times_s >= begin_s) & (seen.times_s < end_s)]
            hour = number * STRETCHES // (len(edges) - 1)
            time = f"2026-01-{day:02}T{hour:02}:00:{number:02}.000+00:00"
            about = Facts(time=time, score=1.0, scores={}, hop=manifest.temporal.hop, frames=len(inside), **facts)
            write_label(inbox.add(about, inside).base, Label(ORDINARY, BACKGROUND, time, "study"))
    problem = None
    try:
        verdict = teach(bundle, read_inbox(inbox.folder), out)
    except NotBetterError as error:
        verdict, problem = error.verdict, error.verdict.problem
    result = verdict.results[BACKGROUND]
    return {
        "problem": problem,
        "moments": result.clips,
        "wrong": result.clips - result.before,
        "wrong_after": result.clips - result.after,
        "reach": verdict.method.reach,
        "kept": None if verdict.kept is None else dataclasses.astuple(verdict.kept[ACTION]),
    }


def spans_at(network: Network, watched: Watched, threshold: float) -> list[tuple[float, float]]:
    """Return the events at a threshold, by the rules of the bundle."""
    rule = Rule(watched.labels, network.bundle.manifest.decision, (ACTION,))
    return alarm_spans(watched.predictions, rule.at(threshold))


def alarms_in(network: Network, own: Sequence[tuple[Recording, Seen]]) -> list[int]:
    """Return the alarms in the second halves of recordings, for each threshold."""
    counts = []
    for _, seen in own:
        watched = seen.watched(network, seen.length_s / 2)
        spans = [spans_at(network, watched, threshold) for threshold in THRESHOLDS]
        counts.append([tally(own_spans, [], watched.length_s, TOLERANCE_S).false_alarms for own_spans in spans])
    return [sum(row) for row in zip(*counts, strict=True)]


def found_in(network: Network, fights: Sequence[tuple[Recording, Seen]]) -> list[list[bool]]:
    """Return whether each recording's fight is found, or one of its fights, for each threshold."""
    rows = []
    for recording, seen in fights:
        watched = seen.watched(network)
        length_s = watched.length_s
        incidents = [Incident(begin_s, length_s if end_s is None else end_s) for begin_s, end_s in recording.incidents]
        tallies = [tally(spans_at(network, watched, t), incidents, length_s, TOLERANCE_S) for t in THRESHOLDS]
        rows.append([any(find.found for find in one.finds) for one in tallies])
    return [list(row) for row in zip(*rows, strict=True)]


def print_alarms(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table by threshold. Shares of fights are the mean over cameras: each has its own taught model."""
    hours = sum(row["seconds"] for row in rows) / 3600
    print(f"{len(rows)} cameras, {sum(row['moments'] for row in rows)} moments, {60 * hours:.1f} minutes judged\n")
    print("| threshold | alarms before, after | an hour (95 %) | fights found before, after | points lost | worst |")
    print("|---|---|---|---|---|---|")
    for place, threshold in enumerate(THRESHOLDS):
        counts = [sum(row[key][place] for row in rows) for key in ("alarms", "alarms_after")]
        each = [f"{n / hours:.0f} ({' to '.join(f'{x / hours:.0f}' for x in poisson_interval(n))})" for n in counts]
        before, after = (np.array([100 * np.mean(row[key][place]) for row in rows]) for key in ("found", "found_after"))
        lost = before - after
        low, high = group_bootstrap(lost.tolist(), [row["camera"] for row in rows])
        worst = rows[int(lost.argmax())]["camera"] if lost.max() > 0 else "none loses any"
        cells = [f"{threshold:g}", f"{counts[0]}, {counts[1]}", ", ".join(each)]
        cells += [f"{before.mean():.1f} %, {after.mean():.1f} %", f"{lost.mean():.1f} ({low:.1f} to {high:.1f})"]
        print(f"| {' | '.join([*cells, f'{lost.max():.1f} ({worst})'])} |")


def print_cameras(rows: Sequence[dict[str, Any]]) -> None:
    """Print what became of each camera's lesson, and its alarms and fights at the shipped threshold."""
    print("\n| camera | moments, wrong | wrong after, held out | lesson | windows kept | alarms | fights |")
    print("|---|---|---|---|---|---|---|")
    place = THRESHOLDS.index(SHIPPED)
    for row in rows:
        lesson = row["problem"] or ("taught" if row["reach"] == 1 else f"taught, reach {row['reach']:g}")
        kept = "-" if row["kept"] is None else f"{row['kept'][1]} of {row['kept'][0]}"
        alarms = f"{row['alarms'][place]}, {row['alarms_after'][place]}"
        fights = f"{sum(row['found'][place])}, {sum(row['found_after'][place])} of {len(row['found'][place])}"
        cells = [row["camera"], f"{row['moments']}, {row['wrong']}", row["wrong_after"], lesson, kept, alarms, fights]
        print(f"| {' | '.join(map(str, cells))} |")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
