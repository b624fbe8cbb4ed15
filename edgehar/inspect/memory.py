"""How much memory a network's values take while it runs, as TFLite's own planner would lay them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgehar.model.tflite import Graph

# Where TFLite lets tensors begin (kDefaultTensorAlignment).
_ALIGNMENT = 64


def arena_bytes(graph: Graph) -> int:
    """Bytes of the arena in which tensors that are computed take turns.

    The greatest tensors are placed first, each at the lowest place that is free for as long as it lives: "greedy by
    size" (Pisarchyk and Lee, 2020), which TFLite's arena planner uses. Delegates have memory of their own besides.
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
    """The most bytes of values that are needed at once, which no plan can do without."""
    lives = _lifetimes(graph)
    return max(
        (
            sum(graph.tensors[index].bytes for index, (first, last) in lives.items() if first <= step <= last)
            for step in range(-1, len(graph.operators) + 1)
        ),
        default=0,
    )


def _lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """First and last operator that each computed tensor is there for."""
    end = len(graph.operators)
    lives: dict[int, tuple[int, int]] = dict.fromkeys(graph.inputs, (-1, end))
    for operator in graph.operators:
        for index in operator.outputs:
            lives[index] = operator.index, operator.index
        for index in operator.inputs:
            if index >= 0 and graph.tensors[index].data is None:
                first = lives.get(index, (-1, 0))[0]
                # Inputs and variables stay from one run to the next.
                keeps = index in graph.inputs or graph.tensors[index].variable
                lives[index] = (-1, end) if keeps else (first, operator.index)
    for index in graph.outputs:
        lives[index] = lives.get(index, (-1, end))[0], end
    return lives
