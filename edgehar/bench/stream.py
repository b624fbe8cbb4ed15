"""Cost of a video file or network stream, split into its steps, for each way to decode it."""

from __future__ import annotations

import math
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import av
import msgspec

from edgehar.bench import machine
from edgehar.bench.results import Machine
from edgehar.bench.tables import Table
from edgehar.bench.tables import as_text as text_of
from edgehar.bench.threads import cores
from edgehar.errors import ConfigError, SourceError
from edgehar.model.history import WindowHistory
from edgehar.model.network import Network
from edgehar.model.timegrid import TimeGrid
from edgehar.records import utc_now
from edgehar.sources import open_source
from edgehar.sources.address import name_of, normalized, scheme_of
from edgehar.sources.ffmpeg import open_container, reason_of, video_stream
from edgehar.sources.options import VideoOptions
from edgehar.sources.registry import BY_SCHEME
from edgehar.sources.timing import is_live, rate_hz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from edgehar.model.bundle import ModelBundle

MODES = ("full", "skip-loop-filter", "reference-only", "key")
# Share of a core, or of all cores, that cameras may take together.
_BUSY_SHARE = 0.9
_STEPS = ("decode", "shrink", "encode", "classify")


class ModeCost(msgspec.Struct, frozen=True):
    """Processor time of one way to decode, in milliseconds for each frame of the stream, over all threads.

    Attributes:
        mode: what is decoded.
        frames: frames that it gave.
        decode_ms: decoding.
        shrink_ms: resizing to the model's input. Only the frames on the model's time grid are resized, so this is less
            than the time of one resizing; likewise below.
        encode_ms: the encoder.
        classify_ms: the head.
        total_ms: all steps, with receiving.
        core_share: share of one core that a camera with this stream takes.
        cameras: such cameras that this machine carries, at 0.9 of its cores, and 0.9 of the one thread that classifies.
    """

    mode: str
    frames: int
    decode_ms: float
    shrink_ms: float
    encode_ms: float
    classify_ms: float
    total_ms: float
    core_share: float
    cameras: int


class StreamReport(msgspec.Struct, frozen=True):
    """Figures of `edgehar bench stream --json`. Times are medians over the rounds.

    Attributes:
        report_version: 1; increased when a field changes its meaning or is removed.
        date: start of the run, UTC.
        machine: the machine.
        load: average number of running or waiting programs in the minute before.
        source: file or address, without credentials.
        live: whether it is a live stream.
        codec: FFmpeg's name.
        width: pixels in a row.
        height: rows.
        rate_hz: frames a second.
        frames: frames that were measured.
        megabits_per_s: size of the stream, 10^6 bits a second.
        model: name of the model.
        model_rate_hz: frames a second of the model.
        hop: frames of the model between answers.
        rounds: turns of each mode.
        receive_ms: receiving and demultiplexing, for each frame.
        modes: the ways to decode.
    """

    report_version: int
    date: str
    machine: Machine
    load: float
    source: str
    live: bool
    codec: str
    width: int
    height: int
    rate_hz: float
    frames: int
    megabits_per_s: float
    model: str
    model_rate_hz: float
    hop: int
    rounds: int
    receive_ms: float
    modes: list[ModeCost]


@dataclass(frozen=True)
class StreamBenchOptions:
    """Options of `edgehar bench stream`.

    Attributes:
        source: path or address of the video.
        model: path of a bundle, or name of a shipped model.
        seconds: seconds of video to measure.
        rounds: turns of each mode.
    """

    source: str
    model: str
    seconds: float = 10.0
    rounds: int = 3


@dataclass
class _Received:
    """What came in.

    Attributes:
        frames: packets with a picture.
        size: bytes.
        cpu_s: processor time of receiving them.
        span_s: seconds of video.
    """

    frames: int = 0
    size: int = 0
    cpu_s: float = 0.0
    span_s: float = 0.0


def run(options: StreamBenchOptions, say: Callable[[str, str], None]) -> StreamReport:
    """Measure a stream. A live one is received once, for `seconds`, and kept in a temporary file for all modes.

    Args:
        options: what to measure.
        say: called with the part that begins, and its details.

    Raises:
        SourceError: the source cannot be read, or gives no frames.
        ConfigError: it is not a video, or the model is unknown.
        BundleError: the model cannot be used.
    """
    uri = normalized(options.source)
    if BY_SCHEME[scheme_of(uri)].name != "video":
        raise ConfigError(f"{name_of(uri)}: is not a video file or network stream; bench stream measures only those")
    network, name, video = Network(options.model), name_of(uri), VideoOptions()
    date, load = utc_now(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="edgehar-bench-") as folder, open_container(uri, name, video) as container:
        stream, live = video_stream(container, name, video), is_live(uri, container)
        say("receive", f"{options.seconds:g} s of {name}" if live else name)
        copy = Path(folder) / "stream.mkv" if live else None
        received = _receive(container, stream, name, options.seconds, copy)
        rate = received.frames / received.span_s if live else rate_hz(container, stream, name)
        turns = _Turns(network, uri, options.seconds, received.cpu_s)
        if copy is not None:
            turns = _Turns(network, str(copy), math.inf, _reading_s(copy))
        modes = turns.measure(options.rounds, say)
        temporal = network.bundle.manifest.temporal
        receive_ms = received.cpu_s * 1e3 / received.frames
        return StreamReport(
            report_version=1,
            date=date,
            machine=machine.describe(),
            load=load,
            source=name,
            live=live,
            codec=stream.codec_context.name,
            width=stream.width,
            height=stream.height,
            rate_hz=rate,
            frames=received.frames,
            megabits_per_s=received.size * 8e-6 * rate / received.frames,
            model=network.bundle.manifest.name,
            model_rate_hz=temporal.rate_hz,
            hop=temporal.hop,
            rounds=options.rounds,
            receive_ms=receive_ms,
            modes=[_cost(mode, *found, receive_ms, rate, received.frames) for mode, found in modes.items()],
        )


def _receive(container: InputContainer, stream: VideoStream, name: str, seconds: float, copy: Path | None) -> _Received:
    """Read the packets of so many seconds, from a key frame on, and write them to `copy`, unless that is None."""
    found = _Received()
    packets = _timed(container, stream, name, seconds, found)
    if copy is None:
        for _ in packets:
            pass
    else:
        with av.open(str(copy), "w", format="matroska") as file:
            out = file.add_stream_from_template(stream)
            for packet in packets:
                packet.stream = out
                file.mux(packet)
    if not found.frames:
        raise SourceError(f"{name}: gave no frames in {seconds:g} s; check the camera")
    return found


def _reading_s(copy: Path) -> float:
    """Return the processor time of reading the packets of the copy."""
    with av.open(str(copy)) as container:
        return _receive(container, container.streams.video[0], str(copy), math.inf, None).cpu_s


def _timed(
    container: InputContainer, stream: VideoStream, name: str, seconds: float, found: _Received
) -> Iterator[Packet[VideoStream]]:
    first_s: float | None = None
    began_s = time.thread_time()
    try:
        for packet in container.demux(stream):
            found.cpu_s += time.thread_time() - began_s
            stamp = packet.dts if packet.dts is not None else packet.pts
            if packet.size and (first_s is not None or packet.is_keyframe):
                at_s = float((stamp or 0) * packet.time_base) if packet.time_base is not None else 0.0
                first_s = at_s if first_s is None else first_s
                if at_s - first_s >= seconds:
                    return
                found.frames, found.size = found.frames + 1, found.size + packet.size
                found.span_s = max(at_s - first_s, 1e-3) * found.frames / max(found.frames - 1, 1)
                yield packet
            began_s = time.thread_time()
    except av.FFmpegError as error:
        raise SourceError(f"{name}: {reason_of(error)}; check the camera and the network") from None


class _Turns:
    """Runs the steps of a run on the same frames, in every mode."""

    def __init__(self, network: Network, uri: str, seconds: float, reading_s: float) -> None:
        """Prepare the turns.

        Args:
            network: the model.
            uri: path or address of the video.
            seconds: seconds of it to use.
            reading_s: processor time of reading its packets, which is not part of decoding.
        """
        self._network, self._uri, self._seconds, self._reading_s = network, uri, seconds, reading_s
        self._bundle: ModelBundle = network.bundle

    def measure(self, rounds: int, say: Callable[[str, str], None]) -> dict[str, tuple[int, list[float]]]:
        """Return for each mode the frames that it gave, and the median seconds of each step."""
        turns: dict[str, list[list[float]]] = {mode: [] for mode in MODES}
        frames = {}
        for number in range(rounds):
            for mode in MODES:
                say("decode", f"{mode}, round {number + 1} of {rounds}")
                frames[mode], seconds = self._turn(mode)
                turns[mode].append(seconds)
        return {
            mode: (frames[mode], [statistics.median(step) for step in zip(*found, strict=True)])
            for mode, found in turns.items()
        }

    def _turn(self, mode: str) -> tuple[int, list[float]]:
        """Return the frames, and the seconds of processor time of each step. All of them run in this thread."""
        temporal, encoder = self._bundle.manifest.temporal, self._network.encoder
        grid, history, resizer = TimeGrid(temporal.rate_hz), WindowHistory(self._network), self._bundle.make_resizer()
        spent, count, clock = dict.fromkeys(_STEPS, 0.0), 0, time.thread_time
        with open_source(self._uri, decode=mode, decoder_threads=1, live=False) as source:
            before = clock()
            for frame in source:
                now = clock()
                spent["decode"] += now - before
                if frame.captured_s >= self._seconds:
                    break
                count += 1
                if grid.accepts(frame.captured_s):
                    resizer.resize_into(frame, encoder.input_view())
                    shrunk = clock()
                    encoder.invoke()
                    history.push(encoder.output_view().reshape(-1))
                    encoded = clock()
                    spent["shrink"] += shrunk - now
                    spent["encode"] += encoded - shrunk
                    beyond = history.count - temporal.window - temporal.lead_in
                    if beyond >= 0 and beyond % temporal.hop == 0:
                        history.scores()
                        spent["classify"] += clock() - encoded
                before = clock()
        spent["decode"] = max(0.0, spent["decode"] - self._reading_s)
        return count, list(spent.values())


def _cost(mode: str, frames: int, spent_s: list[float], receive_ms: float, rate: float, of: int) -> ModeCost:
    """Return the cost of a mode, from the seconds of each step for `of` frames of the stream."""
    steps_ms = [1e3 * seconds / of for seconds in spent_s]
    total_ms = receive_ms + sum(steps_ms)
    share, answer_share = total_ms * rate / 1e3, sum(steps_ms[1:]) * rate / 1e3
    cameras = min(_BUSY_SHARE * cores() / share, _BUSY_SHARE / answer_share if answer_share else math.inf)
    decode_ms, shrink_ms, encode_ms, classify_ms = steps_ms
    return ModeCost(
        mode, frames, decode_ms, shrink_ms, encode_ms, classify_ms, total_ms, share, cameras=math.floor(cameras)
    )


def as_json(report: StreamReport) -> str:
    """Return the report as JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def as_text(report: StreamReport) -> str:
    """Return the report for a terminal."""
    rows = [
        (
            cost.mode,
            str(cost.frames),
            *(f"{value:.3f}" for value in (report.receive_ms, *(getattr(cost, f"{step}_ms") for step in _STEPS))),
            f"{cost.total_ms:.2f}",
            f"{cost.core_share:.1%}",
            str(cost.cameras),
        )
        for cost in report.modes
    ]
    kind = "live" if report.live else "a file"
    note = (
        f"{report.codec} {report.width}x{report.height} at {report.rate_hz:.4g} frames/s, "
        f"{report.megabits_per_s:.2g} Mbit/s, {kind}; {report.model} at {report.model_rate_hz:g} frames/s, an answer "
        f"every {report.hop}. Processor time for each of {report.frames} frames of the stream, medians of "
        f"{report.rounds} rounds in turns; {report.machine.cores} cores of {report.machine.cpu}; load before "
        f"{report.load:.1f}. Cameras: so many of them take 0.9 of this machine."
    )
    columns = ("decode", "frames", "receive", *_STEPS, "ms in all", "of a core", "cameras")
    return text_of(Table(f"Cost of {report.source}", (note,), columns, rows))
