"""Memory of a network's values while it runs, planned as TFLite does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.model.tflite import Graph

# Alignment of tensors (kDefaultTensorAlignment of TFLite).
_ALIGNMENT = 64


def arena_bytes(graph: Graph) -> int:
    """Return the bytes of the arena that computed tensors share.

    The largest tensors are placed first, each at the lowest place that is free during its lifetime: "greedy by size"
    (Pisarchyk and Lee, 2020), as in TFLite's arena planner. Delegates need additional memory.
    """
    placed: list[tuple[int, int, int, int]] = []
    lives = _lifetimes(graph)
    for index in sorted(lives, key=lambda index: (-graph.tensors[index].bytes, index)):
        first, last = lives[index]
        size = -(-graph.tensors[index].bytes // _ALIGNMENT) * _ALIGNMENT
        begin = 0
        for other, end, born, died in sorted(placed):
            if died < first or last < born:
                continue
            if other - begin >= size:
                break
            begin = max(begin, end)
        placed.append((begin, begin + size, first, last))
    return max((end for _, end, _, _ in placed), default=0)


def live_bytes(graph: Graph) -> int:
    """Return the largest number of bytes that are needed at once, which is a lower bound of every plan."""
    lives = _lifetimes(graph)
    return max(
        (
            sum(graph.tensors[index].bytes for index, (first, last) in lives.items() if first <= step <= last)
            for step in range(-1, len(graph.operators) + 1)
        ),
        default=0,
    )


def _lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """Return the first and last operator of the lifetime of each computed tensor."""
    end = len(graph.operators)
    lives: dict[int, tuple[int, int]] = dict.fromkeys(graph.inputs, (-1, end))
    for operator in graph.operators:
        for index in operator.outputs:
            lives[index] = operator.index, operator.index
        for index in operator.inputs:
            if index >= 0 and graph.tensors[index].data is None:
                first = lives.get(index, (-1, 0))[0]
                # Inputs and variables live across runs.
                keeps = index in graph.inputs or graph.tensors[index].variable
                lives[index] = (-1, end) if keeps else (first, operator.index)
    for index in graph.outputs:
        lives[index] = lives.get(index, (-1, end))[0], end
    return lives
