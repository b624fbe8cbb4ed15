"""A report as JSON, as tables for a terminal, and as a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edgehar.bench.tables import Table, as_markdown, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgehar.bench.results import Machine, Method, Model, Peers, Preprocess, Report, Target

_NONE = "-"
# From this load on, a report says that it was disturbed.
_QUIET = 0.7
_MARKDOWN_HEAD = """\
# Benchmark results

Made by [`edgehar bench`](bench.md), which says what is measured and how. Times are of this machine; ratios carry over
to others better than times do.
"""


def as_json(report: Report) -> str:
    """Return the report as JSON, indented by two."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def text(report: Report) -> str:
    """Return the report for a terminal."""
    facts = [f"{name:<8} {value}" for name, value in _facts(report).items()]
    return "\n".join(("\n".join(facts) + "\n", *map(as_text, _tables(report)), *_skipped(report)))


def markdown(report: Report) -> str:
    """Return the report as a page."""
    facts = (
        "\n".join(("| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in _facts(report).items()))) + "\n"
    )
    return "\n".join((_MARKDOWN_HEAD, facts, *map(as_markdown, _tables(report)), *_skipped(report)))


def _facts(report: Report) -> dict[str, str]:
    machine = report.machine
    return {
        "date": report.date[:10],
        "machine": _hardware(machine),
        "system": machine.system,
        "versions": ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        "method": _method(report.method),
    }


def _hardware(machine: Machine) -> str:
    cache = f", largest cache {machine.largest_cache_bytes / 2**20:.3g} MiB" if machine.largest_cache_bytes else ""
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    simd = ", ".join(machine.simd) or "no vector instructions known"
    return f"{machine.cpu}; {cores}{cache}, {machine.memory_bytes / 2**30:.1f} GiB of memory; {simd}"


def _method(method: Method) -> str:
    quick = "a quick run with rough figures; " if method.quick else ""
    busy = f"; other programs were running (load {method.load:.1f})" if method.load > _QUIET else ""
    return (
        f"{quick}medians of {method.rounds} interleaved rounds, turns of {method.turn_ms:g} ms, {method.threads} "
        f"thread; cold frames rotate through {method.pool_bytes / 1e6:.0f} MB{busy}"
    )


def _tables(report: Report) -> Iterator[Table]:
    yield from _preprocess(report.preprocess)
    if report.threads:
        yield _threads(report)
    if report.jpeg:
        yield _jpeg(report)
    if report.model:
        yield from _model(report.model)
    if report.peers:
        yield _peers(report.peers)
    measured = [target for target in report.targets if target.measured is not None]
    if measured:
        yield _targets(measured)


def _preprocess(rows: list[Preprocess]) -> Iterator[Table]:
    columns = ("format", "frame", "to", "edgehar us", "cv2 us", "cv2", "numpy", "Pillow", "read us", "of read")
    notes = {
        "cold": "Each frame had left the caches, like a camera's. cv2, numpy and Pillow: their time divided by that of "
        "edgehar. Of read: 1.00 is as fast as the fastest of several readers reads the same bytes.",
        "hot": "The same frame every time.",
    }
    for temperature, note in notes.items():
        cells = [_preprocess_cells(row) for row in rows if row.temperature == temperature]
        if cells:
            yield Table(f"Resizing {temperature} frames to int8", (note,), columns, cells, labels=3)


def _preprocess_cells(row: Preprocess) -> tuple[str, ...]:
    ratios = [_ratio(row.others[name].ratio if name in row.others else None) for name in ("cv2", "numpy", "Pillow")]
    return (
        row.format,
        f"{row.width}x{row.height}",
        f"{row.size}x{row.size}",
        _figure(row.us),
        _figure(row.others["cv2"].us),
        *ratios,
        _figure(row.read_us),
        f"{row.fraction_of_read:.2f}",
    )


def _threads(report: Report) -> Table:
    columns = ("frames", "one thread, frames/s", "two threads, frames/s", "scaling")
    cells = [
        (row.temperature, f"{row.one_fps:.0f}", f"{row.two_fps:.0f}", _ratio(row.scaling)) for row in report.threads
    ]
    return Table("Two Python threads at once", ("640x480 BGR frames, a ring for each thread.",), columns, cells)


def _jpeg(report: Report) -> Table:
    columns = ("picture", "kB", "decoded to", "edgehar us", "decoded in full us", "cv2 chain us", "cv2")
    cells = [
        (
            f"{row.width}x{row.height}",
            f"{row.jpeg_bytes / 1e3:.0f}",
            f"1/{row.reduction}",
            _figure(row.us),
            _figure(row.full.us),
            _figure(row.cv2.us),
            _ratio(row.cv2.ratio),
        )
        for row in report.jpeg
    ]
    note = "Pictures like those of an MJPEG camera, quality 85, 4:2:2. Decoded in full: then resized by edgehar."
    return Table("Decoding and resizing JPEG", (note,), columns, cells)


def _model(model: Model) -> Iterator[Table]:
    title = f"A prediction of {model.name}"
    steps = [
        (step.step, _figure(step.us), _count(step.macs), _figure(step.gmacs_per_s), f"{step.share:.0%}")
        for step in model.steps
    ]
    note = (
        f"{model.size}x{model.size}, window {model.window}. Single steps; the rest of a prediction is Python, and "
        "caches that the frame has emptied."
    )
    yield Table(title, (note,), ("step", "us", "MMAC", "GMAC/s", "of a prediction at hop 1"), steps)
    answers = [(str(row.hop), _figure(row.wall_us), _figure(row.cpu_us)) for row in model.answers]
    note = "`Classifier.push` of cold 640x480 BGR frames, time per frame."
    yield Table(f"{model.name}, end to end", (note,), ("hop", "us", "CPU us"), answers)


def _peers(peers: Peers) -> Table:
    ours = ("edgehar", "", "", _figure(peers.answer_ms), "", "", _ratio(1.0))
    cells = [
        (
            row.file,
            f"{row.bytes / 1e3:.0f}",
            _NONE if row.inputs is None else str(row.inputs),
            _figure(row.ms) if row.problem is None else "cannot run here",
            _count(row.macs),
            _figure(row.gmacs_per_s),
            _ratio(row.ratio),
        )
        for row in peers.rows
    ]
    note = (
        f"One run per frame, without resizing or copying; edgehar: a complete prediction of {peers.model} for each "
        "cold 640x480 frame. Ratio: time divided by that of edgehar."
    )
    problems = [f"{row.file} cannot run here: {row.problem}." for row in peers.rows if row.problem is not None]
    return Table(
        "Peers", (note, *problems), ("network", "kB", "inputs", "ms", "MMAC", "GMAC/s", "ratio"), [ours, *cells]
    )


def _targets(targets: list[Target]) -> Table:
    cells = [
        (
            target.what,
            f"{'<=' if target.at_most else '>='} {target.wanted:g}{target.unit}",
            f"{target.measured:.2f}{target.unit}",
            "reached" if target.reached else "not reached",
        )
        for target in targets
    ]
    note = "Set for an x86-64 machine, cold frames, 60x60 int8, one thread."
    return Table("Targets", (note,), ("target", "wanted", "measured", ""), cells)


def _skipped(report: Report) -> list[str]:
    """Return a line for each figure that is missing, with the reason."""
    reasons = dict(report.skipped)
    for row in report.preprocess:
        # The table shows where boxes are not whole pixels.
        reasons |= {name: why for name, why in row.skipped.items() if name == "Pillow"}
    return [f"Not measured: {name}: {why}.\n" for name, why in reasons.items()]


def _figure(value: float | None) -> str:
    """Return at least three digits."""
    if value is None:
        return _NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _ratio(value: float | None) -> str:
    return _NONE if value is None else f"{value:.1f}x" if value < 100 else f"{value:.0f}x"


def _count(macs: int | None) -> str:
    return _NONE if macs is None else _figure(macs / 1e6)
