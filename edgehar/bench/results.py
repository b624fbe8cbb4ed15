"""Figures of `edgehar bench --json`; `edgehar/schemas/bench.schema.json` is made from these classes.

Times are medians over the rounds. A ratio says how many times as long the other took; over 1, edgehar is faster.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Temperature: TypeAlias = Literal["cold", "hot"]


class Machine(msgspec.Struct, frozen=True):
    """The machine.

    Attributes:
        cpu: processor, with the board if it has a name.
        cores: cores this process may use.
        simd: vector instructions of the processor that kernels choose from.
        largest_cache_bytes: size of the largest cache; 0 if unknown.
        memory_bytes: memory of the machine.
        system: operating system and architecture.
        versions: versions of edgehar, Python, numpy, OpenCV, Pillow where installed, and the TFLite runtime.
    """

    cpu: str
    cores: int
    simd: tuple[str, ...]
    largest_cache_bytes: int
    memory_bytes: int
    system: str
    versions: dict[str, str]


class Method(msgspec.Struct, frozen=True):
    """The method of a measurement.

    Attributes:
        rounds: turns each contender had.
        turn_ms: length of a turn.
        threads: threads of each contender.
        pool_bytes: cold frames rotate through this much memory.
        load: average number of running or waiting programs in the minute before; well below 1 on a quiet machine.
        quick: whether this was a short run with rough figures.
    """

    rounds: int
    turn_ms: float
    threads: int
    pool_bytes: int
    load: float
    quick: bool


class Other(msgspec.Struct, frozen=True):
    """Another way to do the same work.

    Attributes:
        us: its time, in microseconds.
        ratio: its time divided by that of edgehar.
    """

    us: float
    ratio: float


class Preprocess(msgspec.Struct, frozen=True):
    """A frame resized to int8.

    Attributes:
        format: name of the `PixelFormat`.
        width: of the frame, in pixels.
        height: of the frame.
        size: rows and columns of the result.
        temperature: `cold` if the frame had left the caches, `hot` if it was used a moment before.
        frame_bytes: bytes that were read.
        us: time of edgehar, in microseconds.
        others: times of others: `cv2`, and for BGR `numpy` and `Pillow`.
        skipped: others that could not be measured, with the reason.
        readers_us: times of several readers for the same bytes, in microseconds.
        read_us: time of the fastest reader.
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
    """640x480 BGR frames resized by two Python threads, each with its own ring.

    Attributes:
        size: rows and columns of the result.
        temperature: `cold` or `hot`, as above.
        one_fps: frames per second of one thread.
        two_fps: frames per second of two threads together.
        scaling: two_fps / one_fps.
    """

    size: int
    temperature: Temperature
    one_fps: float
    two_fps: float
    scaling: float


class Jpeg(msgspec.Struct, frozen=True):
    """A picture of an MJPEG camera, decoded and resized.

    Attributes:
        width: of the picture, in pixels.
        height: of the picture.
        size: rows and columns of the result.
        jpeg_bytes: mean size of its files.
        reduction: divisor of both sides that edgehar requests from the decoder.
        us: time of edgehar, in microseconds: reduced decoding and resizing.
        full: decoding at full size, and resizing by edgehar.
        cv2: decoding at full size, and the cv2 chain.
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
    """A single step of a prediction.

    Attributes:
        step: `shrink` a cold 640x480 BGR frame, `encode` a frame, `classify` a window.
        us: microseconds.
        macs: multiply-accumulates of the network; null if unknown.
        gmacs_per_s: billions (10^9) of them per second.
        share: share of the time of a prediction at hop 1.
    """

    step: str
    us: float
    macs: int | None
    gmacs_per_s: float | None
    share: float


class EndToEnd(msgspec.Struct, frozen=True):
    """`Classifier.push` of cold 640x480 BGR frames.

    Attributes:
        hop: frames between predictions.
        wall_us: wall-clock microseconds per frame.
        cpu_us: microseconds of processor time per frame, over all threads.
    """

    hop: int
    wall_us: float
    cpu_us: float


class Model(msgspec.Struct, frozen=True):
    """Speed of a model.

    Attributes:
        name: name of the bundle.
        size: rows and columns of its input.
        window: frames of its window.
        steps: steps of a prediction.
        answers: complete predictions, at hop 1 and at the model's own hop.
    """

    name: str
    size: int
    window: int
    steps: list[Step]
    answers: list[EndToEnd]


class Peer(msgspec.Struct, frozen=True):
    """Another network, run once per frame.

    Attributes:
        file: name of the file.
        bytes: size of the file.
        inputs: number of input tensors, including states.
        ms: milliseconds per run; null if it cannot run here.
        macs: multiply-accumulates per run; null if unknown.
        gmacs_per_s: billions (10^9) of them per second.
        ratio: its time divided by that of a complete prediction of edgehar at hop 1.
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
    """Other networks, in turns with a prediction of edgehar.

    Attributes:
        model: the model of edgehar.
        answer_ms: milliseconds of its predictions, one per cold 640x480 frame, with everything.
        rows: the other networks.
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
