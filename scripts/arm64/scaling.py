"""Print the share of the work of a network that threads can split, 0 to 1: scaling.py FILE.tflite

By Amdahl's law, from the shortest times with one and with two threads, measured in turns on this machine.
"""

from __future__ import annotations

import sys
import time

from edgehar.model.runtime import load_runtime

ROUNDS = 200


def main() -> None:
    interpreters = [load_runtime().interpreter(model_path=sys.argv[1], num_threads=threads) for threads in (1, 2)]
    shortest_s = [float("inf")] * 2
    for interpreter in interpreters:
        interpreter.allocate_tensors()
        interpreter.invoke()
    for _ in range(ROUNDS):
        for number, interpreter in enumerate(interpreters):
            started_s = time.perf_counter()
            interpreter.invoke()
            shortest_s[number] = min(shortest_s[number], time.perf_counter() - started_s)
    print(round(min(max(2 * (1 - shortest_s[1] / shortest_s[0]), 0.0), 1.0), 2))


if __name__ == "__main__":
    main()
