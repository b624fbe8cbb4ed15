"""What `edgehar bench --json` prints; `edgehar/schemas/bench.schema.json` is made from these classes.

Times are medians over the rounds. A ratio says how many times as long the other took; over 1, edgehar is faster.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Temperature: TypeAlias = Literal["cold", "hot"]


class Machine(msgspec.Struct, frozen=True):
    """What was measured on.

    Attributes:
        cpu: the processor, or the board where it has a name.
        cores: cores this process may use.
        simd: what the processor offers of the vector instructions that kernels choose between.
        largest_cache_bytes: size of its largest cache; 0 when not known.
        memory_bytes: memory of the machine.
        system: the operating system and its architecture.
        versions: of edgehar, Python, numpy, OpenCV, Pillow where installed, and the TFLite runtime.
    """

    cpu: str
    cores: int
    simd: tuple[str, ...]
    largest_cache_bytes: int
    memory_bytes: int
    system: str
    versions: dict[str, str]


class Method(msgspec.Struct, frozen=True):
    """How it was measured.

    Attributes:
        rounds: turns each contender had.
        turn_ms: length of a turn.
        threads: threads of each contender.
        pool_bytes: cold frames rotate through this much memory.
        load: programs that ran or waited to run in the minute before, on average; well under 1 on a quiet machine.
        quick: whether this was a short run, whose figures say little.
    """

    rounds: int
    turn_ms: float
    threads: int
    pool_bytes: int
    load: float
    quick: bool


class Other(msgspec.Struct, frozen=True):
    """Another way to do the same.

    Attributes:
        us: microseconds it took.
        ratio: how many times as long as edgehar.
    """

    us: float
    ratio: float


class Preprocess(msgspec.Struct, frozen=True):
    """A frame shrunk to int8.

    Attributes:
        format: name of the `PixelFormat`.
        width: of the frame, in pixels.
        height: of the frame.
        size: rows and columns of what it is shrunk to.
        temperature: `cold` when the frame had left the caches, `hot` when it was used a moment before.
        frame_bytes: bytes that were read.
        us: microseconds edgehar took.
        others: what others took: `cv2`, and for BGR `numpy` and `Pillow`.
        skipped: others that could not be measured, and why.
        readers_us: microseconds that several readers took to read the same bytes once.
        read_us: those of the fastest of them.
        fraction_of_read: read_us / us: 1 is as fast as memory is read.
    """

    format: str
    width: int
    height: int
    size: int
    temperature: Temperature
    frame_bytes: int
    us: float
    others: dict[str, Other]
    skipped: dict[str, str]
    readers_us: dict[str, float]
    read_us: float
    fraction_of_read: float


class Threads(msgspec.Struct, frozen=True):
    """640x480 BGR frames shrunk by two Python threads, each with a ring of its own.

    Attributes:
        size: rows and columns of what they are shrunk to.
        temperature: `cold` or `hot`, as above.
        one_fps: frames a second of one thread.
        two_fps: frames a second of two threads together.
        scaling: two_fps / one_fps.
    """

    size: int
    temperature: Temperature
    one_fps: float
    two_fps: float
    scaling: float


class Jpeg(msgspec.Struct, frozen=True):
    """A picture of an MJPEG camera decoded and shrunk.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture.
        size: rows and columns of what it is shrunk to.
        jpeg_bytes: mean size of its files.
        reduction: what edgehar has the decoder divide its sides by.
        us: microseconds edgehar took: reduced decoding, and its own shrinking.
        full: decoding at full size and edgehar's shrinking.
        cv2: decoding at full size and the cv2 chain.
    """

    width: int
    height: int
    size: int
    jpeg_bytes: int
    reduction: int
    us: float
    full: Other
    cv2: Other


class Step(msgspec.Struct, frozen=True):
    """A step of an answer, by itself.

    Attributes:
        step: `shrink` a cold 640x480 BGR frame, `encode` a frame, `classify` a window.
        us: microseconds.
        macs: multiply-accumulates of a network; null when they cannot be counted.
        gmacs_per_s: thousands of millions of them a second.
        share: of the time of an answer at hop 1.
    """

    step: str
    us: float
    macs: int | None
    gmacs_per_s: float | None
    share: float


class EndToEnd(msgspec.Struct, frozen=True):
    """`Classifier.push` of cold 640x480 BGR frames.

    Attributes:
        hop: frames from answer to answer.
        wall_us: microseconds a frame.
        cpu_us: microseconds of processor time a frame, over all threads.
    """

    hop: int
    wall_us: float
    cpu_us: float


class Model(msgspec.Struct, frozen=True):
    """A model at work.

    Attributes:
        name: of the bundle.
        size: rows and columns of its frames.
        window: frames it looks at.
        steps: what an answer is made of.
        answers: whole answers, at hop 1 and at the model's own.
    """

    name: str
    size: int
    window: int
    steps: list[Step]
    answers: list[EndToEnd]


class Peer(msgspec.Struct, frozen=True):
    """Another network, run once a frame.

    Attributes:
        file: its name.
        bytes: its size.
        inputs: input tensors, those of a stream's state included.
        ms: milliseconds a run; null when it cannot run here.
        macs: multiply-accumulates of a run; null when they cannot be counted.
        gmacs_per_s: thousands of millions of them a second.
        ratio: how many times as long as edgehar's whole answer at hop 1.
        problem: why it cannot run here.
    """

    file: str
    bytes: int
    inputs: int | None = None
    ms: float | None = None
    macs: int | None = None
    gmacs_per_s: float | None = None
    ratio: float | None = None
    problem: str | None = None


class Peers(msgspec.Struct, frozen=True):
    """Other networks, in turns with an answer of edgehar.

    Attributes:
        model: edgehar's model.
        answer_ms: milliseconds of its answers, one a cold 640x480 frame: shrinking, both networks, all else.
        rows: the others.
    """

    model: str
    answer_ms: float
    rows: list[Peer]


class Target(msgspec.Struct, frozen=True):
    """A figure that edgehar is meant to reach.

    Attributes:
        what: what is measured.
        wanted: the least it should be; the most where `at_most`.
        measured: what it was; null when this run did not measure it.
        at_most: whether smaller is better.
        unit: what to write behind both figures: `x` for a ratio.
        reached: whether it was reached; null when not measured.
    """

    what: str
    wanted: float
    measured: float | None
    at_most: bool
    unit: str
    reached: bool | None


class Report(msgspec.Struct, frozen=True):
    """All of a run. Parts that were not asked for are empty or null.

    Attributes:
        report_version: 1; raised when a field changes its meaning or goes.
        date: when the run began: UTC, ISO 8601.
        machine: what was measured on.
        method: how it was measured.
        preprocess: frames shrunk.
        threads: two threads at once.
        jpeg: MJPEG pictures.
        model: encode, classify, end to end.
        peers: other networks.
        targets: what was to be reached.
        skipped: parts that could not be measured, and why.
    """

    report_version: int
    date: str
    machine: Machine
    method: Method
    preprocess: list[Preprocess]
    threads: list[Threads]
    jpeg: list[Jpeg]
    model: Model | None
    peers: Peers | None
    targets: list[Target]
    skipped: dict[str, str]
