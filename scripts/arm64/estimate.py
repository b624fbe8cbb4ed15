"""Times on Raspberry Pis from instructions and cycles, as Markdown: estimate.py RESULTS [PEER=MS=SHARE...]

RESULTS has one JSON object per line: `processor`, `work` and `result`, the output of `cycles.py`. A peer
is a network, its published time on a Pi 4 with four threads, and the share of its work that threads can split.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

THREADS = 4  # of the published times


@dataclass(frozen=True)
class Board:
    """Assumptions about a board: clock, and bytes per second that one core reads from memory."""

    name: str
    clock_hz: float
    read_bytes_s: float


BOARDS = {
    "cortex-a72": Board("Pi 4", 1.8e9, 4e9),
    "cortex-a76": Board("Pi 5", 2.4e9, 8e9),
}
BYTES_PER_PIXEL = {"BGR24": 3.0, "I420": 1.5, "NV12": 1.5, "YUYV": 2.0}

Results = dict[tuple[str, str], dict[str, float]]


def read_results(path: str) -> Results:
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return {(line["work"], line["processor"]): line["result"] for line in lines}


def figures(results: Results, work: str, processor: str) -> tuple[str, float]:
    """Return instructions and instructions per cycle as table cells, and the time of the cycles in ms."""
    result = results[work, processor]
    per_cycle = result["instructions"] / result["cycles"]
    cells = f"{result['instructions'] / 1e3:,.0f} | {per_cycle:.1f}"
    return cells, result["cycles"] / BOARDS[processor].clock_hz * 1e3


def frames(results: Results) -> None:
    for processor, board in BOARDS.items():
        print(f"\n{board.name} ({board.clock_hz / 1e9:.1f} GHz, {board.read_bytes_s / 1e9:.0f} GB/s a core):\n")
        print("| frame to 60x60 int8 | thousand instructions | a cycle | in cache ms | reading ms | from memory ms |")
        print("|---|---|---|---|---|---|")
        for work in dict.fromkeys(work for work, _ in results if work.startswith("frame ")):
            _, pixel_format, width, height = work.split()
            cells, cached_ms = figures(results, work, processor)
            read_ms = int(width) * int(height) * BYTES_PER_PIXEL[pixel_format] / board.read_bytes_s * 1e3
            both = f"{max(cached_ms, read_ms):.2f} to {cached_ms + read_ms:.2f}"
            print(f"| {pixel_format} {width}x{height} | {cells} | {cached_ms:.2f} | {read_ms:.2f} | {both} |")


@dataclass(frozen=True)
class Peer:
    """A network whose time on a Pi 4 with four threads is known, and the share of its work that threads can split."""

    name: str
    published_ms: float
    parallel: float

    @classmethod
    def parse(cls, text: str) -> Peer:
        path, published_ms, parallel = text.rsplit("=", 2)
        return cls(Path(path).name, float(published_ms), float(parallel))


def networks(results: Results, peers: list[Peer]) -> None:
    known = {peer.name: peer for peer in peers}
    for processor, board in BOARDS.items():
        print(f"\n{board.name}, one run of a network:\n")
        print(
            f"| network | thousand instructions | a cycle | 1 thread ms | {THREADS} threads ms | published / estimate |"
        )
        print("|---|---|---|---|---|---|")
        for work in dict.fromkeys(work for work, _ in results if not work.startswith("frame ")):
            cells, one_ms = figures(results, work, processor)
            name = Path(work.removeprefix("model ").removeprefix("bundle ")).name
            several = "- | -"
            if peer := known.get(name):
                several_ms = one_ms * (1 - peer.parallel + peer.parallel / THREADS)
                ratio = f"{peer.published_ms:g} / {several_ms:.1f} = {peer.published_ms / several_ms:.2f}"
                several = (
                    f"{several_ms:.1f} ({peer.parallel:.0%} in parallel) | {ratio if board.name == 'Pi 4' else '-'}"
                )
            print(f"| {name} | {cells} | {one_ms:.3f} | {several} |")


def main() -> None:
    path, *peers = sys.argv[1:]
    results = read_results(path)
    frames(results)
    networks(results, [Peer.parse(peer) for peer in peers])


if __name__ == "__main__":
    main()
