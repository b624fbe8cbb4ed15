"""Metrics in the text format of Prometheus, version 0.0.4."""

from __future__ import annotations

import time
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from edgehar._version import __version__
from edgehar.health.monitor import INFERENCE_BOUNDS_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edgehar.health.monitor import GaugeName, Monitor, StreamHealth

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram", "summary"]
# Labels, suffix of the name, and value.
Sample = tuple["Mapping[str, str]", str, float]

_PER_STREAM: tuple[tuple[str, Kind, str, Callable[[StreamHealth], float | None]], ...] = (
    (
        "edgehar_frames_captured_total",
        "counter",
        "Frames from the camera, including dropped ones.",
        lambda stream: stream.frames + stream.dropped,
    ),
    ("edgehar_camera_up", "gauge", "Whether frames arrive.", lambda stream: stream.state == "running"),
    ("edgehar_reconnects_total", "counter", "Times the camera was reopened.", lambda stream: stream.reconnects),
    (
        "edgehar_inference_errors_total",
        "counter",
        "Times the network failed and was loaded again.",
        lambda stream: stream.inference_errors,
    ),
    ("edgehar_rate_hertz", "gauge", "Frames per second that are classified at most.", lambda stream: stream.rate_hz),
)
_PER_SINK: tuple[tuple[GaugeName, str, Kind, str], ...] = (
    ("connected", "connected", "gauge", "Whether the receiver is connected."),
    ("queue_depth", "queue_messages", "gauge", "Results that wait in memory."),
    ("queue_dropped", "queue_dropped_total", "counter", "Results dropped because an output was too slow."),
    ("spool_depth", "spool_messages", "gauge", "Events on disk that wait for delivery."),
    ("spool_dropped", "spool_dropped_total", "counter", "Events lost before delivery."),
    ("spool_refused", "spool_refused_total", "counter", "Events that the receiver refused, set aside on disk."),
    ("recordings", "recordings_total", "counter", "Recordings of events finished."),
    ("recordings_failed", "recordings_failed_total", "counter", "Recordings given up because the disk failed."),
    ("uploads", "uploads_total", "counter", "Recordings that the server has got."),
    ("uploads_waiting", "uploads_waiting", "gauge", "Recordings that wait to be uploaded."),
    ("notifications", "notifications_total", "counter", "Messages sent to people."),
    ("notifications_failed", "notifications_failed_total", "counter", "Messages given up."),
)


def exposition(monitor: Monitor) -> str:
    """Return all metrics, each family with its help and type."""
    return "".join((*_of_streams(monitor.streams()), *_of_sinks(monitor), *_of_process(monitor)))


def _of_streams(streams: list[StreamHealth]) -> Iterable[str]:
    info: list[Sample] = [
        ({"version": __version__, "model": model}, "", 1) for model in sorted({stream.model for stream in streams})
    ]
    yield _family("edgehar_build_info", "gauge", "Version of the program, and the models in use.", info)
    for name, kind, text, read in _PER_STREAM:
        values = [(stream, value) for stream in streams if (value := read(stream)) is not None]
        yield _family(name, kind, text, [({"camera": stream.name}, "", value) for stream, value in values])
    yield _family("edgehar_decode_info", "gauge", "How the video of a camera is decoded.", _joined(streams, _decoding))
    yield _family(
        "edgehar_frames_dropped_total",
        "counter",
        "Frames not classified; late: it or the device was too late; damaged: broken data or lost packets.",
        _joined(streams, _dropped),
    )
    yield _family("edgehar_windows_total", "counter", "Predictions by label.", _joined(streams, _windows))
    yield _family(
        "edgehar_inference_duration_seconds",
        "histogram",
        "Time of the networks for a prediction.",
        _joined(streams, _inference),
    )
    yield _family(
        "edgehar_frame_age_seconds",
        "summary",
        "Age of the newest frame when its prediction was ready.",
        _joined(streams, _ages),
    )


def _decoding(stream: StreamHealth) -> list[Sample]:
    found = stream.decoding
    return [] if found is None else [({"mode": found.mode, "hardware": found.hardware or ""}, "", 1)]


def _dropped(stream: StreamHealth) -> list[Sample]:
    # Read in this order, because a damaged frame is counted among the dropped ones too.
    damaged, dropped = stream.damaged, stream.dropped
    return [({"reason": "late"}, "", dropped - damaged), ({"reason": "damaged"}, "", damaged)]


def _joined(streams: list[StreamHealth], samples_of: Callable[[StreamHealth], list[Sample]]) -> list[Sample]:
    return [
        ({"camera": stream.name, **labels}, added, value)
        for stream in streams
        for labels, added, value in samples_of(stream)
    ]


def _windows(stream: StreamHealth) -> list[Sample]:
    return [({"label": label}, "", count) for label, count in sorted(stream.counts().windows.items())]


def _inference(stream: StreamHealth) -> list[Sample]:
    counts = stream.counts()
    reached = list(accumulate(counts.inference))
    bounds = (*map(str, INFERENCE_BOUNDS_S), "+Inf")
    buckets: list[Sample] = [({"le": bound}, "_bucket", count) for bound, count in zip(bounds, reached, strict=True)]
    return [*buckets, ({}, "_sum", counts.inference_s), ({}, "_count", reached[-1])]


def _ages(stream: StreamHealth) -> list[Sample]:
    counts = stream.counts()
    shares: list[Sample] = [
        ({"quantile": str(share)}, "", age_ms / 1000)
        for share in (0.5, 0.95)
        if (age_ms := stream.frame_age_ms(share)) is not None
    ]
    return [*shares, ({}, "_sum", counts.age_s), ({}, "_count", sum(counts.inference))]


def _of_sinks(monitor: Monitor) -> Iterable[str]:
    for gauge, suffix, kind, text in _PER_SINK:
        for sink, value in sorted(monitor.gauges(gauge).items()):
            yield _family("_".join(filter(None, ("edgehar", sink, suffix))), kind, text, [({}, "", value)])


def _of_process(monitor: Monitor) -> Iterable[str]:
    readings = monitor.readings()
    memory = None if readings.rss_mb is None else readings.rss_mb * 1e6
    families: tuple[tuple[str, Kind, str, float | None], ...] = (
        ("edgehar_soc_temperature_celsius", "gauge", "Temperature of the processor.", readings.temperature_c),
        ("edgehar_throttled", "gauge", "Whether the processor is slowed down by heat or power.", readings.throttled),
        ("edgehar_under_voltage", "gauge", "Whether the power supply is too weak.", readings.under_voltage),
        ("process_resident_memory_bytes", "gauge", "Memory of the process.", memory),
        ("process_cpu_seconds_total", "counter", "Processor time of the process.", time.process_time()),
    )
    for name, kind, text, value in families:
        yield _family(name, kind, text, [] if value is None else [({}, "", value)])


def _family(name: str, kind: Kind, text: str, samples: list[Sample]) -> str:
    """The lines of one metric; nothing when it has no value."""
    if not samples:
        return ""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, suffix, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{suffix}{{{inside}}} {_number(value)}" if inside else f"{name}{suffix} {_number(value)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
