"""The whole configuration: the options of every part, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.capture.options import GovernorOptions, ReconnectOptions
from edgehar.config.words import toml
from edgehar.events.options import DecisionOptions
from edgehar.health.options import HealthOptions
from edgehar.model.edgetpu import CPU, PATTERN
from edgehar.recording.options import Pictures, RecordOptions
from edgehar.sinks.mqtt.options import MqttOptions
from edgehar.sinks.options import FileOptions
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.webhook.options import WebhookOptions

if TYPE_CHECKING:
    from edgehar.masks import View

_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=1, le=100_000)]

DEFAULT_SOURCE = "camera:0"


class CameraOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera, stream or file to watch. What it does not set is that of the whole program."""

    name: Annotated[
        Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")] | None,
        Meta(
            description="What this camera is called in results and topics; needed where there are several.",
            examples=["hall"],
            extra={"words": "letters, digits, - and _, the first a letter or digit"},
        ),
    ] = None
    source: Annotated[
        str, Meta(min_length=1, description="What to watch, as in `--source`: a camera, a stream, or a file's path.")
    ] = DEFAULT_SOURCE
    rate_hz: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        Meta(description="Frames a second of images, or asked of a camera.", examples=[25]),
    ] = None
    width: Annotated[
        Annotated[int, Meta(ge=16, le=16384)] | None,
        Meta(description="Width asked of a V4L2 camera, in pixels.", examples=[640]),
    ] = None
    height: Annotated[
        Annotated[int, Meta(ge=16, le=16384)] | None,
        Meta(description="Height asked of a V4L2 camera, in pixels.", examples=[480]),
    ] = None
    transport: Annotated[
        Literal["tcp", "udp"] | None,
        Meta(description='How an RTSP stream comes; "tcp" unless set.', examples=["udp"]),
    ] = None
    tls_verify: Annotated[
        bool, Meta(description="Whether an rtsps:// or https:// camera must show a certificate that is trusted.")
    ] = True
    ca_file: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="The authorities such a camera's certificate may be of, as PEM; without it the system's.",
            examples=["/etc/edgehar/camera-ca.pem"],
        ),
    ] = None
    loop: Annotated[bool, Meta(description="Begin a file or images again at their end.")] = False
    realtime: Annotated[
        bool, Meta(description="Read a file or images at the pace of a camera, and skip frames like one.")
    ] = False
    region: Annotated[
        tuple[_Share, _Share, _Share, _Share] | None,
        Meta(
            description="The part of the picture to look at, as shares of it: left, top, width, height.",
            examples=[[0.5, 0.0, 0.5, 1.0]],
        ),
    ] = None
    masks: Annotated[
        list[list[tuple[_Share, _Share]]],
        Meta(
            description="Polygons that are black for the model and in all pictures and clips, each a list of corners "
            "[x, y] as shares of the picture.",
            examples=[[[[0.0, 0.0], [0.3, 0.0], [0.3, 0.25]]]],
        ),
    ] = msgspec.field(default_factory=list)
    pictures: Annotated[
        Literal["none", "blurred", "full"] | None,
        Meta(description="`pictures` of this camera.", examples=["blurred"]),
    ] = None
    model: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="A model for this camera only.", examples=["fight"]),
    ] = None
    hop: Annotated[_Count | None, Meta(description="Frames between this camera's answers.", examples=[5])] = None
    threshold: Annotated[_Share | None, Meta(description="`decision.threshold` of this camera.", examples=[0.6])] = None
    thresholds: Annotated[
        dict[str, _Share],
        Meta(
            description="`decision.thresholds` of this camera, by label; the others hold too.",
            examples=[{"fight": 0.8}],
        ),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the shape of the masks."""
        if self.masks:
            from edgehar.masks import polygon_problem

            for number, mask in enumerate(self.masks):
                if problem := polygon_problem(tuple(mask)):
                    raise ValueError(f"masks[{number}] {problem}")

    def __repr__(self) -> str:
        """The options, without the credentials that an address may hold."""
        shown = (f"{name}={toml(getattr(self, name))}" for name in self.__struct_fields__)
        return f"CameraOptions({', '.join(shown)})"

    def open_options(self) -> dict[str, Any]:
        """What `edgehar.sources.open_source` takes besides the source: only what is set; not every kind takes all."""
        names = ("rate_hz", "width", "height", "transport", "ca_file", "loop", "realtime")
        given = {name: value for name in names if (value := getattr(self, name)) not in (None, False)}
        return given if self.tls_verify else {**given, "tls_verify": False}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set. Without any setting it is what the command does without any option."""

    model: Annotated[
        str, Meta(min_length=1, description="The model: the name of a shipped one, or the path of a bundle.")
    ] = "fight"
    hop: Annotated[
        _Count | None, Meta(description="Frames between answers; without it the model's own.", examples=[5])
    ] = None
    mode: Annotated[
        Literal["window", "stateful"],
        Meta(description="What an answer is about: the last window, or all since the start, for a model that can."),
    ] = "window"
    threads: Annotated[int, Meta(ge=1, le=1024, description="CPU threads of the network.")] = 1
    delegate: Annotated[
        str,
        Meta(
            pattern=f"^({PATTERN})$",
            description="What runs the encoder: the CPU, an Edge TPU, or an Edge TPU if there is one.",
            examples=["auto"],
            extra={"words": "cpu, auto, edgetpu, edgetpu:N, edgetpu:usb or edgetpu:pci"},
        ),
    ] = CPU
    output: Annotated[
        Literal["jsonl", "text", "none"], Meta(description="What to print: JSON Lines, lines for reading, or nothing.")
    ] = "jsonl"
    pictures: Annotated[
        Pictures,
        Meta(
            description="Pictures that may be kept, shown and sent: full ones, blurred ones in which no face can be "
            "recognized, or none, only numbers."
        ),
    ] = "full"
    cameras: Annotated[list[CameraOptions], Meta(description="One table for each camera, stream or file to watch.")] = (
        msgspec.field(name="camera", default_factory=lambda: [CameraOptions()])
    )
    decision: Annotated[DecisionOptions, Meta(description="What is an answer, and what is an event.")] = (
        DecisionOptions()
    )
    reconnect: Annotated[
        ReconnectOptions, Meta(description="When a camera or stream that went away is opened again.")
    ] = ReconnectOptions()
    governor: Annotated[
        GovernorOptions, Meta(description="When fewer frames are looked at, because the device is hot or slow.")
    ] = GovernorOptions()
    file: Annotated[FileOptions, Meta(description="A file to write results to; off without its `path`.")] = (
        FileOptions()
    )
    mqtt: Annotated[MqttOptions, Meta(description="A broker to publish to; off without its `url`.")] = MqttOptions()
    webhook: Annotated[WebhookOptions, Meta(description="A web server to post events to; off without its `url`.")] = (
        WebhookOptions()
    )
    spool: Annotated[
        SpoolOptions, Meta(description="Events that wait on disk for a broker or server that is away.")
    ] = SpoolOptions()
    record: Annotated[RecordOptions, Meta(description="Clips and pictures of events; off without its `directory`.")] = (
        RecordOptions()
    )
    health: Annotated[HealthOptions, Meta(description="Who is told how the program is doing, and how often.")] = (
        HealthOptions()
    )

    def __post_init__(self) -> None:
        """Check what no table can say alone."""
        if not self.cameras:
            raise ValueError("camera is empty, there is nothing to watch; leave it out for camera:0")
        names = [camera.name for camera in self.cameras]
        if len(names) > 1 and None in names:
            raise ValueError(f"camera[{names.index(None)}] has no name; where there are several each needs one")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'two cameras are called "{twice}"; give each a name of its own')

    def model_of(self, camera: CameraOptions) -> str:
        """The model that looks at this camera."""
        return self.model if camera.model is None else camera.model

    def hop_of(self, camera: CameraOptions) -> int | None:
        """Frames between this camera's answers; None for its model's own."""
        return self.hop if camera.hop is None else camera.hop

    def view_of(self, camera: CameraOptions) -> View:
        """What of this camera's picture may be shown and kept."""
        from edgehar.masks import View

        masks = tuple(tuple(mask) for mask in camera.masks)
        return View(masks, camera.region, camera.pictures or self.pictures)

    def decision_of(self, camera: CameraOptions) -> DecisionOptions:
        """How this camera's scores become answers and events."""
        common = self.decision
        return msgspec.structs.replace(
            common,
            threshold=common.threshold if camera.threshold is None else camera.threshold,
            thresholds={**common.thresholds, **camera.thresholds},
        )
