"""Instructions and estimated cycles of work logged by qemu: cycles.py PROCESSOR LOG MARK

The log is qemu's (`in_asm,exec,nochain`) of the code of some libraries. The work lies between the last two calls of the
function at address MARK. Stretches of its instructions, in order of execution and spread over the work, go through
llvm-mca's model of PROCESSOR: how they share its units and wait for each other, with all data in the first cache, no
mispredicted branch and no load waiting for a store. Prints JSON: `instructions`, `cycles`, and
`modeled`, the share of the instructions that went through the model.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from array import array
from pathlib import Path

LLVM = os.environ.get("LLVM_VERSION", "19")
STRETCHES = 80
STRETCH_INSTRUCTIONS = 3000
# The features of both processors, because llvm-mc must know every instruction.
FEATURES = "-mattr=+v8.2a,+fullfp16,+dotprod,+crypto,+lse"
# `ldr q0, [x1], #16` and `ldr q0, [x1, #16]!`: llvm-mca lets the address wait for the loaded value; processors do not.
AFTER = re.compile(r"^(\s*\w+\s.*\[(\w+)\]), (#-?\d+|x\d+)\s*$")
BEFORE = re.compile(r"^(\s*\w+\s.*\[(\w+), )(#-?\d+)\]!\s*$")

Blocks = dict[int, list[str]]


def read_log(path: str) -> tuple[Blocks, array[int]]:
    """Return the instruction words of each block by address, and the addresses of blocks in order of execution."""
    blocks: Blocks = {}
    order = array("Q")
    block: list[str] | None = None
    with Path(path).open() as lines:
        for line in lines:
            if line.startswith("Trace"):
                order.append(int(line.split("/", 2)[1], 16))
            elif line.startswith("0x"):
                address, _, rest = line.partition(":")
                if block is None:
                    block = blocks[int(address, 16)] = []
                block.append(rest.split()[0])
            elif line.startswith("----"):
                block = None
    return blocks, order


def disassembled(blocks: list[list[str]]) -> list[list[str]]:
    """Return the instructions of each block as text."""
    words = itertools.chain.from_iterable(blocks)
    octets = " ".join(f"0x{word[at : at + 2]}" for word in words for at in (6, 4, 2, 0))
    done = subprocess.run(
        [f"llvm-mc-{LLVM}", "-disassemble", "-triple=aarch64", FEATURES],
        input=octets, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = iter(line.partition("//")[0].rstrip() for line in done.stdout.splitlines() if line.strip() != ".text")
    texts = [list(itertools.islice(lines, len(words))) for words in blocks]
    if done.stderr or next(lines, None) is not None:
        raise SystemExit(f"cycles.py: not all instructions are known to llvm-mc: {done.stderr[:300]}")
    return texts


def addresses_apart(lines: list[str]) -> list[str]:
    """Return the same with address updates as separate instructions, as processors execute them."""
    apart = []
    for line in lines:
        if found := AFTER.match(line):
            apart += [found[1], f"\tadd\t{found[2]}, {found[2]}, {found[3]}"]
        elif found := BEFORE.match(line):
            apart += [f"\tadd\t{found[2]}, {found[2]}, {found[3]}", f"{found[1].rpartition(',')[0]}]"]
        else:
            apart.append(line)
    return apart


def stretches(blocks: Blocks, work: array[int]) -> list[list[int]]:
    """Return blocks in order of execution: all if the work is short, else evenly spread stretches."""
    total = sum(len(blocks[address]) for address in work)
    step = max(len(work) // STRETCHES, 1)
    chosen = []
    for start in range(0, len(work), step) if total > STRETCHES * STRETCH_INSTRUCTIONS else [0]:
        stretch: list[int] = []
        length = 0
        for address in work[start:]:
            if length >= STRETCH_INSTRUCTIONS and total > STRETCHES * STRETCH_INSTRUCTIONS:
                break
            stretch.append(address)
            length += len(blocks[address])
        chosen.append(stretch)
    return chosen


def modeled_cycles(blocks: Blocks, chosen: list[list[int]], processor: str) -> int:
    """Return the cycles of all stretches together."""
    addresses = sorted(set(itertools.chain.from_iterable(chosen)))
    texts = dict(zip(addresses, disassembled([blocks[address] for address in addresses]), strict=True))
    ready = {address: "\n".join(addresses_apart(lines)) for address, lines in texts.items()}
    text = []
    for number, stretch in enumerate(chosen):
        text += [f"# LLVM-MCA-BEGIN {number}", *(ready[address] for address in stretch), "# LLVM-MCA-END"]
    command = [
        *(f"llvm-mca-{LLVM}", "-mtriple=aarch64", f"-mcpu={processor}", FEATURES, "-iterations=1", "-json"),
        *("-skip-unsupported-instructions=any", "-instruction-info=false", "-resource-pressure=false"),
    ]
    done = subprocess.run(command, input="\n".join(text) + "\n", capture_output=True, text=True, check=True)
    regions = json.loads(done.stdout[done.stdout.index("{") :])["CodeRegions"]
    return sum(region["SummaryView"]["TotalCycles"] for region in regions)


def estimate(processor: str, log: str, mark: str) -> dict[str, float]:
    blocks, order = read_log(log)
    marks = [number for number, address in enumerate(order) if address == int(mark, 16)]
    if len(marks) < 2:
        raise SystemExit(f"cycles.py: {log} has {len(marks)} calls of the function at {mark}, not two")
    work = order[marks[-2] + 1 : marks[-1]]
    chosen = stretches(blocks, work)
    count = sum(len(blocks[address]) for address in work)
    part = sum(len(blocks[address]) for address in itertools.chain.from_iterable(chosen))
    cycles = modeled_cycles(blocks, chosen, processor)
    return {"instructions": count, "cycles": cycles * count / part, "modeled": part / count}


if __name__ == "__main__":
    print(json.dumps(estimate(*sys.argv[1:4])))
