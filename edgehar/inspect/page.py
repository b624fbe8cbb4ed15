"""A self-contained HTML page that shows where an int8 model loses accuracy."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from edgehar.inspect.report import Part, Seen, quantization
from edgehar.inspect.values import BINS, Histogram
from edgehar.model.tflite import is_trained

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgehar.inspect.values import Values
    from edgehar.model.bundle import ModelBundle
    from edgehar.model.tflite import Tensor

_WIDTH, _HEIGHT = 160, 40
# A bar of the ratio of signal to error is full at this value.
_FULL_DB = 60.0
# The table of a network with more operators is folded.
_MOST_OPEN = 40

_LEGEND = (
    "Heights of histograms are logarithms of counts. <b>Error</b> is int8 minus a float run of the same graph with the "
    "same (rounded) weights, starting at the frames, so it accumulates from operator to operator. <b>Ratio</b> is "
    "20 log<sub>10</sub> of the root mean squares of float and error: where it falls, accuracy is lost. <b>Highest</b> "
    "is the share of values at the highest level: a large share means that the range is too small."
)
_STYLE = """
:root{color-scheme:light dark;--bar:#4269d0;--weak:#efb118}
body{font:15px/1.45 system-ui,sans-serif;max-width:78rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.25rem .6rem;text-align:left;vertical-align:middle;
border-bottom:1px solid #8884}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
svg{display:block}svg rect{fill:var(--bar)}.db{background:var(--bar);height:.6rem;display:inline-block}
.db.low{background:var(--weak)}.scroll{overflow-x:auto}code{font-size:12px}
"""


def page(bundle: ModelBundle, parts: Sequence[Part], seen: Mapping[str, Seen], frames: str) -> str:
    """Return the page.

    Args:
        bundle: the model.
        parts: its networks.
        seen: values of the networks that were run, by file.
        frames: description of the frames they were run on.
    """
    manifest = bundle.manifest
    title = f"{manifest.name}: inside the int8 model"
    body = "".join(_network(part, seen.get(part.name)) for part in parts)
    about = (
        f"Labels: {escape(', '.join(manifest.labels))}. Trained on {escape(manifest.provenance.dataset)}. "
        f"Measured on {escape(frames)}."
    )
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n<h1>{escape(title)}</h1>\n<p>{about}</p>\n"
        f"<p>{_LEGEND}</p>\n{body}</html>\n"
    )


def _network(part: Part, seen: Seen | None) -> str:
    graph = part.graph
    heading = (
        f"<h2>{escape(part.name)}</h2><p>{len(graph.operators)} operators, {graph.parameters:,} parameters, "
        f"{len(graph.content):,} bytes."
    )
    if seen is None:
        heading += " It was not run.</p>"
    else:
        why = f" Not compared with float: {escape(seen.why_no_float)}." if seen.why_no_float else ""
        heading += f" Run {seen.runs:,} times.{why}</p>{_fold('Values', _values(part, seen), len(seen.values))}"
    weights = [t for t in graph.tensors if t.data is not None and t.kind == "INT8" and is_trained(t)]
    return f"{heading}{_fold('Weights', _weights(weights), len(weights))}\n"


def _fold(title: str, table: str, rows: int) -> str:
    shown = " open" if rows <= _MOST_OPEN else ""
    return f"<details{shown}><summary><b>{title}</b> ({rows})</summary><div class=scroll>{table}</div></details>"


def _values(part: Part, seen: Seen) -> str:
    names = (
        "",
        "operator",
        "runs on",
        "output",
        "values",
        "levels used",
        "highest",
        "float",
        "error",
        "largest",
        "ratio",
    )
    return _table(names, (_row(part, values) for values in seen.values))


def _row(part: Part, values: Values) -> list[str]:
    operator = values.operator
    tensor = part.graph.tensors[operator.outputs[0]]
    return [
        str(operator.index),
        f"{escape(operator.name)}<br><code>{escape(tensor.name[:60])}</code>",
        part.placement.of(operator.index),
        f"{'x'.join(map(str, tensor.shape))}<br><code>{escape(quantization(tensor))}</code>",
        _svg(values.histogram),
        f"{values.used:.0%}",
        f"{values.high_share:.2%}",
        _number(values.signal),
        _number(values.error),
        _number(values.largest),
        _ratio(values.ratio_db),
    ]


def _weights(tensors: Sequence[Tensor]) -> str:
    rows = []
    for tensor in tensors:
        assert tensor.data is not None
        counts = np.histogram(tensor.data.reshape(-1), bins=BINS, range=(-128, 128))[0]
        used = len(np.unique(tensor.data)) / 256
        histogram = Histogram(-128, 127, counts)
        shape = "x".join(map(str, tensor.shape))
        name = f"<code>{escape(tensor.name[:80])}</code>"
        rows.append([str(tensor.index), name, shape, escape(quantization(tensor)), _svg(histogram), f"{used:.0%}"])
    return _table(("", "tensor", "shape", "quantization", "int8 levels", "levels used"), rows)


def _table(names: Sequence[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    head = "".join(f"<th>{name}" for name in names)
    return f"<table><tr>{head}" + "".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows) + "</table>"


def _svg(histogram: Histogram) -> str:
    heights = np.log1p(histogram.counts)
    tallest = heights.max() or 1.0
    step = _WIDTH / BINS
    bars = "".join(
        f"<rect x={number * step:g} y={_HEIGHT * (1 - height / tallest):.1f} width={step - 0.4:g} "
        f"height={_HEIGHT * height / tallest:.1f} />"
        for number, height in enumerate(heights)
        if height
    )
    label = f"from {histogram.low:.4g} to {histogram.high:.4g}"
    return (
        f"<svg width={_WIDTH} height={_HEIGHT} role=img aria-label='{label}'><title>{label}</title>{bars}</svg>"
        f"<code>{histogram.low:.3g} … {histogram.high:.3g}</code>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _ratio(ratio_db: float | None) -> str:
    if ratio_db is None:
        return ""
    share = max(0.0, min(1.0, ratio_db / _FULL_DB))
    low = " low" if ratio_db < _FULL_DB / 3 else ""
    return f"{ratio_db:.1f} dB <span class='db{low}' style='width:{share * 6:.2f}rem'></span>"
