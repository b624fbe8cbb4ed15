"""The configuration of a run: the options of all parts in one struct."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from edgehar.capture.options import GovernorOptions, ReconnectOptions
from edgehar.config.words import toml
from edgehar.delivery.options import NotifyOptions, UploadOptions
from edgehar.events.options import DecisionOptions
from edgehar.health.options import HealthOptions
from edgehar.model.edgetpu import CPU, PATTERN
from edgehar.model.options import ModelsOptions
from edgehar.paths import InputFile, ModelText, SourceText
from edgehar.recording.options import Pictures, RecordOptions
from edgehar.sinks.mqtt.options import MqttOptions
from edgehar.sinks.options import FileOptions
from edgehar.sinks.spool.options import SpoolOptions
from edgehar.sinks.webhook.options import WebhookOptions
from edgehar.sources.options import DecodeMode, HardwareName
from edgehar.teaching.options import HistoryOptions, InboxOptions
from edgehar.web.options import WebOptions

if TYPE_CHECKING:
    from edgehar.masks import View

_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=1, le=100_000)]

DEFAULT_SOURCE = "camera:0"


class CameraOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One camera, stream or file. Settings that it does not set are those of the whole program."""

    name: Annotated[
        Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9_-]*$")] | None,
        Meta(
            description="Name of this camera in results and topics; required if there are several.",
            examples=["hall"],
            extra={"words": "letters, digits, - and _, starting with a letter or digit"},
        ),
    ] = None
    source: Annotated[
        SourceText,
        Meta(
            description="The source, as in `--source`: a camera, a stream, or the path of a file.",
            extra={"aliases": ("uri", "url", "address", "device", "input")},
        ),
    ] = DEFAULT_SOURCE
    rate_hz: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        Meta(
            description="Frames per second of images, or requested from a camera.",
            examples=[25],
            extra={"aliases": ("fps", "framerate", "frame_rate")},
        ),
    ] = None
    width: Annotated[
        Annotated[int, Meta(ge=16, le=16384)] | None,
        Meta(description="Width requested from a V4L2 camera, in pixels.", examples=[640]),
    ] = None
    height: Annotated[
        Annotated[int, Meta(ge=16, le=16384)] | None,
        Meta(description="Height requested from a V4L2 camera, in pixels.", examples=[480]),
    ] = None
    transport: Annotated[
        Literal["tcp", "udp"] | None,
        Meta(description='Transport of an RTSP stream; "tcp" by default.', examples=["udp"]),
    ] = None
    tls_verify: Annotated[
        bool, Meta(description="Whether an rtsps:// or https:// camera must present a trusted certificate.")
    ] = True
    ca_file: Annotated[
        InputFile | None,
        Meta(
            description="Certificate authorities to trust for such a camera, as PEM; the system's by default.",
            examples=["/etc/edgehar/camera-ca.pem"],
        ),
    ] = None
    live: Annotated[
        bool | None,
        Meta(
            description="Whether a network address is a camera, which is reopened at its end, or a recording; by "
            "default RTSP is a camera, and HTTP is one if the answer has no length and no duration.",
            examples=[False],
        ),
    ] = None
    redirects: Annotated[
        Literal["same-host", "any"],
        Meta(description="Where the server of an http://, https:// or rtsp:// address may redirect to."),
    ] = "same-host"
    max_pixels: Annotated[
        Annotated[int, Meta(ge=64, le=67_108_864)] | None,
        Meta(
            description="Largest picture to decode from a video file or stream, in pixels; 8,912,896 (4096 x 2176) by "
            "default, because a wrong header would otherwise take all memory.",
            examples=[33_177_600],
        ),
    ] = None
    decode: Annotated[
        DecodeMode,
        Meta(
            description='What to decode of H.264 and H.265: "full"; "skip-loop-filter", which is cheaper; '
            '"reference-only", which also leaves out pictures that no other needs; "key" for key frames only; or '
            '"auto", which decodes live streams more cheaply while the device is hot or slow.',
        ),
    ] = "auto"
    hwaccel: Annotated[
        HardwareName,
        Meta(
            description='Hardware to decode H.264 and H.265 with: "none", "auto", "v4l2m2m", or a device of FFmpeg '
            "such as vaapi or drm. Without working hardware, software decodes.",
            examples=["auto"],
            extra={"words": "none, auto, or the name of the hardware"},
        ),
    ] = "none"
    loop: Annotated[bool, Meta(description="Repeat a file or images at their end.")] = False
    realtime: Annotated[
        bool, Meta(description="Read a file or images at the pace of a camera, dropping frames like a camera.")
    ] = False
    region: Annotated[
        tuple[_Share, _Share, _Share, _Share] | None,
        Meta(
            description="Part of the picture to classify, as shares of it: left, top, width, height.",
            extra={"aliases": ("roi", "crop", "zone", "area")},
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
    record_source: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(
            description="Another H.264 or H.265 stream of this camera, to record instead of `source`: watch the "
            "sub-stream, record the main stream.",
            examples=["rtsp://camera/main"],
        ),
    ] = None
    watch_hours: Annotated[
        list[str],
        Meta(
            description="Local times at which this camera is watched; always if empty. It is closed at other times. "
            "Files are always read.",
            examples=[["mon-fri 18:00-07:00", "sat,sun"]],
        ),
    ] = msgspec.field(default_factory=list)
    record_hours: Annotated[
        list[str],
        Meta(
            description="Local times at which events of this camera are recorded; always if empty.",
            examples=[["22:00-06:00"]],
        ),
    ] = msgspec.field(default_factory=list)
    notify_hours: Annotated[
        list[str],
        Meta(
            description="Local times at which messages about this camera are sent; always if empty.",
            examples=[["22:00-06:00"]],
        ),
    ] = msgspec.field(default_factory=list)
    pictures: Annotated[
        Literal["none", "blurred", "full"] | None,
        Meta(description="`pictures` of this camera.", examples=["blurred"]),
    ] = None
    model: Annotated[
        ModelText | None,
        Meta(description="Model of this camera only.", examples=["fight"]),
    ] = None
    hop: Annotated[_Count | None, Meta(description="Frames between predictions of this camera.", examples=[5])] = None
    threshold: Annotated[_Share | None, Meta(description="`decision.threshold` of this camera.", examples=[0.6])] = None
    thresholds: Annotated[
        dict[str, _Share],
        Meta(
            description="`decision.thresholds` of this camera, by label; other labels keep theirs.",
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
        """Return the options, without the credentials of an address."""
        shown = (f"{name}={toml(getattr(self, name))}" for name in self.__struct_fields__)
        return f"CameraOptions({', '.join(shown)})"

    def open_options(self) -> dict[str, Any]:
        """Return the options for `edgehar.sources.open_source`: no source accepts all, so only set ones."""
        defaults = CameraOptions()
        names = (
            *("rate_hz", "width", "height", "transport", "tls_verify", "ca_file"),
            *("live", "redirects", "max_pixels", "decode", "hwaccel", "loop", "realtime"),
        )
        return {name: value for name in names if (value := getattr(self, name)) != getattr(defaults, name)}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. The defaults are what the command does without options."""

    model: Annotated[ModelText, Meta(description="The model: name of a shipped model, or path of a bundle.")] = "fight"
    hop: Annotated[
        _Count | None, Meta(description="Frames between predictions; the model's own by default.", examples=[5])
    ] = None
    mode: Annotated[
        Literal["window", "stateful"],
        Meta(description="What a prediction is about: the latest window, or all frames since the start."),
    ] = "window"
    threads: Annotated[int, Meta(ge=1, le=1024, description="CPU threads of the network.")] = 1
    delegate: Annotated[
        str,
        Meta(
            pattern=f"^({PATTERN})$",
            description="What runs the encoder: the CPU, an Edge TPU, or (auto) an Edge TPU if there is one.",
            examples=["auto"],
            extra={"words": "cpu, auto, edgetpu, edgetpu:N, edgetpu:usb or edgetpu:pci"},
        ),
    ] = CPU
    output: Annotated[
        Literal["jsonl", "text", "none"], Meta(description="What to print: JSON Lines, text, or nothing.")
    ] = "jsonl"
    pictures: Annotated[
        Pictures,
        Meta(
            description="Pictures that may be kept, shown and sent: full ones, blurred ones in which no face can be "
            "recognized, or none, only numbers."
        ),
    ] = "full"
    cameras: Annotated[list[CameraOptions], Meta(description="One table for each camera, stream or file.")] = (
        msgspec.field(name="camera", default_factory=lambda: [CameraOptions()])
    )
    decision: Annotated[DecisionOptions, Meta(description="How scores become predictions and events.")] = (
        DecisionOptions()
    )
    reconnect: Annotated[ReconnectOptions, Meta(description="When a camera or stream is reopened.")] = (
        ReconnectOptions()
    )
    governor: Annotated[
        GovernorOptions, Meta(description="When fewer frames are classified because the device is hot or slow.")
    ] = GovernorOptions()
    file: Annotated[FileOptions, Meta(description="File for results; off without `path`.")] = FileOptions()
    mqtt: Annotated[MqttOptions, Meta(description="MQTT broker; off without `url`.")] = MqttOptions()
    webhook: Annotated[WebhookOptions, Meta(description="Web server that receives events; off without `url`.")] = (
        WebhookOptions()
    )
    spool: Annotated[
        SpoolOptions, Meta(description="Events that wait on disk while a broker or server is unreachable.")
    ] = SpoolOptions()
    record: Annotated[RecordOptions, Meta(description="Clips and pictures of events; off without its `directory`.")] = (
        RecordOptions()
    )
    upload: Annotated[
        UploadOptions, Meta(description="A server that gets a copy of each recording; off without its `url`.")
    ] = UploadOptions()
    history: Annotated[
        HistoryOptions, Meta(description="The scores of every answer, kept to choose thresholds and to teach.")
    ] = HistoryOptions()
    models: Annotated[
        ModelsOptions, Meta(description="Which bundles may run, and whether a running program takes over new ones.")
    ] = ModelsOptions()
    inbox: Annotated[
        InboxOptions, Meta(description="Moments that are worth a label, kept to teach the model; off unless `enabled`.")
    ] = InboxOptions()
    notify: Annotated[
        NotifyOptions, Meta(description="Messages to people about events; off without an address in `urls`.")
    ] = NotifyOptions()
    web: Annotated[WebOptions, Meta(description="Pages in the browser; off without `listen`.")] = WebOptions()
    health: Annotated[HealthOptions, Meta(description="Statuses and metrics.")] = HealthOptions()

    def __post_init__(self) -> None:
        """Check rules that span several tables."""
        if not self.cameras:
            raise ValueError("camera is an empty list; leave it out for camera:0")
        if self.upload.url is not None and self.record.directory is None:
            raise ValueError("upload.url is set without record.directory; name a folder for the clips to upload")
        if self.mqtt.fleet and not self.models.swap:
            raise ValueError("mqtt.fleet needs models.swap = true, which takes over the models that are pushed")
        if self.inbox.enabled and self.mode == "stateful":
            raise ValueError('inbox.enabled needs mode "window"; a model in mode "stateful" cannot be taught')
        if self.models.swap and self.mode == "stateful":
            raise ValueError(
                'models.swap needs mode "window"; a model in mode "stateful" cannot be replaced while it runs'
            )
        if self.inbox.enabled and self.inbox.keep == "clips" and self.record.seal_to:
            raise ValueError(
                'inbox.keep = "clips" would keep pictures in clear although record.seal_to is set; use "features"'
            )
        self._check_record_sources()
        names = [camera.name for camera in self.cameras]
        if len(names) > 1 and None in names:
            raise ValueError(f"camera[{names.index(None)}] has no name; with several cameras each needs one")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'two cameras have the name "{twice}"; give each its own')

    def model_of(self, camera: CameraOptions) -> str:
        """Return the model of this camera."""
        return self.model if camera.model is None else camera.model

    def hop_of(self, camera: CameraOptions) -> int | None:
        """Return the frames between predictions of this camera; None for its model's own."""
        return self.hop if camera.hop is None else camera.hop

    def _check_record_sources(self) -> None:
        """Check that no record_source shows what is hidden, because its packets are copied as they come."""
        for number, camera in enumerate(self.cameras):
            if camera.record_source is not None and self.view_of(camera).hides:
                raise ValueError(
                    f"camera[{number}].record_source cannot be masked, cut or blurred; leave it out, and `source` is "
                    "recorded"
                )

    def view_of(self, camera: CameraOptions) -> View:
        """The part of this camera's picture that may be shown and kept."""
        from edgehar.masks import View

        masks = tuple(tuple(mask) for mask in camera.masks)
        return View(masks, camera.region, camera.pictures or self.pictures)

    def decision_of(self, camera: CameraOptions) -> DecisionOptions:
        """Return how scores of this camera become predictions and events."""
        common = self.decision
        return msgspec.structs.replace(
            common,
            threshold=common.threshold if camera.threshold is None else camera.threshold,
            thresholds={**common.thresholds, **camera.thresholds},
        )
