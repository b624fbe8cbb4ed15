"""A run: one training with its settings, splits, checkpoints and metrics, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from edgehar.errors import ConfigError, DatasetError
from edgehar.files import write_text
from edgehar.model.manifest import Affine, Input
from edgehar_training.data import sampling
from edgehar_training.data.datasets import Clip
from edgehar_training.data.datasets.splits import UNGROUPED, is_ungrouped, read_splits
from edgehar_training.data.frame_order import FrameOrder
from edgehar_training.data.frames_cache import FramesCache, SmallClip, default_folder
from edgehar_training.data.pixels import Pixels, caches, load_pixels, training_mean
from edgehar_training.data.preprocess import FLOW_AFFINE, FlowUse, Preprocessor
from edgehar_training.file_names import decode_json, encode_json
from edgehar_training.settings import (
    AugmentSettings,
    DataSettings,
    FitSettings,
    NetworkSettings,
    QuantizeSettings,
    SplitSettings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import numpy.typing as npt

CONFIG_FILE = "config.json"
SPLITS_FILE = "splits.csv"
BEST_FILE = "best.keras"
METRICS_FILE = "metrics.json"
BUNDLE_FILE = "model.edgehar"
EVALUATION_HOP = 2


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a run and their results, as in `config.json`.

    Attributes:
        data: the clips.
        split: the split of the clips.
        network: the network and its input.
        fit: training of the weights.
        augment: random changes of training windows.
        quantize: quantization.
        stage: "float": trained from fresh weights. "finetune", "qat": fine-tuned from the float run in the parent
            folder, in float or with fake quantization.
        labels: the classes, in the order of the output of the network.
        protocol: the split in words, and the kind of control, as shown beside every accuracy.
        fold: number of the fold, from 0; None for a single split.
        skipped: the reason for every unreadable clip that was left out.
        tools: versions of the libraries.
    """

    data: DataSettings = DataSettings()
    split: SplitSettings = SplitSettings()
    network: NetworkSettings = NetworkSettings()
    fit: FitSettings = FitSettings()
    augment: AugmentSettings = AugmentSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    stage: Literal["float", "finetune", "qat"] = "float"
    labels: list[str] = msgspec.field(default_factory=list)
    protocol: str = ""
    fold: int | None = None
    skipped: dict[str, str] = msgspec.field(default_factory=dict)
    tools: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def frame(self) -> Input:
        """Input made from one frame, for the manifest of a bundle and for training; flow is additional."""
        motion: Literal["none", "grey-difference"] = "grey-difference" if self.network.input == "motion" else "none"
        return Input(
            height=self.network.size,
            width=self.network.size,
            channels=3,
            colour_order="RGB",
            resize="area",
            crop=self.data.crop,
            motion=motion,
            looks=("whole", "crop") if self.network.two_looks else None,
            crop_side=self.network.crop_side if self.network.two_looks else None,
            stabilize=self.network.stabilize,
            steady_light=self.network.steady_light,
        )

    @property
    def affine(self) -> Affine:
        """Quantization of the network's input: one int8 step is one level of 255, or a part of it (`motion_range`).

        With input "rgb+flow" this is the quantization of the colors; `Preprocessor.affines` has all channels.
        """
        if self.network.input == "flow":
            return FLOW_AFFINE
        if self.network.input == "motion":
            return Affine(scale=self.network.motion_range / 128 / 255, zero_point=0)
        return Affine(scale=1 / 255, zero_point=-128)

    @property
    def cache_folder(self) -> Path:
        """Folder of decoded frames."""
        return default_folder() if self.data.cache is None else Path(self.data.cache)

    @property
    def frame_order(self) -> FrameOrder:
        """Order of the frames in a window."""
        return FrameOrder(self.network.frame_order, self.split.seed)

    def check_device(self) -> None:
        """Check that a device can make the input of the network.

        Raises:
            ConfigError: the network uses optical flow, or is a control.
        """
        if words := self.frame_order.words:
            raise ConfigError(
                f"--frame-order {self.network.frame_order} is a {words}, not a network for devices, so it cannot be an "
                "int8 bundle; train with --frame-order ordered"
            )
        if "flow" in self.network.input:
            raise ConfigError(
                f"input {self.network.input} is optical flow, which devices do not compute, so it cannot be an int8 "
                "bundle; train with --input motion or rgb"
            )

    def write(self, folder: Path) -> None:
        """Write `config.json`."""
        write_text(folder / CONFIG_FILE, encode_json(self, indent=2).decode() + "\n")


_FLOW_USE: dict[str, FlowUse] = {"flow": "alone", "rgb+flow": "after"}
GROUPS = ("data", "split", "network", "fit", "augment", "quantize")


def flat(config: RunConfig) -> dict[str, Any]:
    """Return every setting by its path, such as `fit.epochs`, and the other fields by name."""
    values = {name: getattr(config, name) for name in config.__struct_fields__ if name not in GROUPS}
    for group in GROUPS:
        values |= {f"{group}.{name}": value for name, value in msgspec.structs.asdict(getattr(config, group)).items()}
    return values


class Run:
    """A run's folder: its settings, clips and network.

    Attributes:
        path: the folder.
        config: the settings.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path, self.config = path, config
        self.preprocessor = Preprocessor(config.frame, config.affine, _FLOW_USE.get(config.network.input, "none"))
        self._cache, self._flow = caches(config.cache_folder, config.data.crop, config.network)

    @property
    def protocol(self) -> str:
        """The split of the data, in words; corrected for runs of an older version without groups."""
        words = self.config.protocol
        if self.config.split.kind != "group" or "group-disjoint" not in words:
            return words
        parts: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
        ungrouped = is_ungrouped([clip for part in parts for clip in self.clips(part)])
        return words.replace("group-disjoint", UNGROUPED) if ungrouped else words

    def model(self) -> keras.Model:
        """Load the best checkpoint.

        Raises:
            DatasetError: there is no checkpoint yet.
        """
        if not (self.path / BEST_FILE).exists():
            raise DatasetError(f"{self.path}: has no {BEST_FILE}; finish the training with edgehar-train --resume")
        return load_network(self.path / BEST_FILE)

    def clips(self, part: Literal["train", "val", "test"]) -> list[Clip]:
        """Read the clips of a part of the split.

        Raises:
            DatasetError: the split list cannot be read.
        """
        data = self.config.data.folder
        return read_splits(self.path / SPLITS_FILE, None if data is None else Path(data))[part]

    def cache(self) -> FramesCache:
        """Return the cache of decoded frames of the size of the run."""
        return self._cache

    def pixels(self, clip: Clip) -> Pixels:
        """Return all frames of a clip, and the flow and energy that the settings need.

        Raises:
            SourceError: the video cannot be read.
            DatasetError: no frame is between start and end of the clip, or the folder of flow has none for it.
        """
        return load_pixels(clip, self._cache, self._flow, self.config.network)

    def stream(self, clip: Clip) -> npt.NDArray[np.int8]:
        """Return the input of the network for every evaluated frame of a clip, at least one window.

        Those are the frames on the time grid, or the one window that another `sampling` chooses.

        Returns:
            int8 `(n, height, width, channels)`, or `(n, 2, height, width, channels)` with two looks, n >= window; a
            shorter clip is padded on the left by its first frame.
        """
        pixels = self.pixels(clip)
        indices = sampling.evaluation_indices(pixels.times_s, self.config.network, pixels.energy)
        flow = None if pixels.flow is None else pixels.flow[indices]
        return self.preprocessor.quantized(pixels.frames[indices], flow)

    def device_clip(self, clip: Clip) -> SmallClip:
        """Return a clip as a device sees it, so that it answers for the frames of `stream`.

        The clip itself if windows have consecutive frames; otherwise its one window, on the time grid.
        """
        pixels, network = self.pixels(clip), self.config.network
        if network.sampling == "consecutive":
            return SmallClip(pixels.frames, pixels.times_s)
        indices = sampling.evaluation_indices(pixels.times_s, network, pixels.energy)
        return SmallClip(pixels.frames[indices], np.arange(len(indices)) / network.rate_hz)

    def quantized_windows_of(self, clip: Clip, hop: int = EVALUATION_HOP) -> npt.NDArray[np.int8]:
        """Return the evaluated windows of a clip: int8 `(n, window, height, width, channels)`, n >= 1."""
        stream, network, order = self.stream(clip), self.config.network, self.config.frame_order
        window = network.window
        starts = sampling.window_starts(len(stream), window, hop, network.lead_in)
        return np.stack([stream[start + order.evaluation(window, start)] for start in starts])

    def windows_of(self, clip: Clip, hop: int = EVALUATION_HOP) -> npt.NDArray[np.float32]:
        """Return the same windows as input of the float network: float32 `(n, window, height, width, channels)`."""
        return self.preprocessor.real(self.quantized_windows_of(clip, hop))


def with_mean(config: RunConfig, clips: Sequence[Clip]) -> RunConfig:
    """Return the settings with the mean color of the training clips, if they scale by it and do not give it."""
    if config.network.scaling != "mean" or config.network.mean is not None:
        return config
    frames, _ = caches(config.cache_folder, config.data.crop, msgspec.structs.replace(config.network, input="rgb"))
    network = msgspec.structs.replace(config.network, mean=training_mean(frames, clips))
    return msgspec.structs.replace(config, network=network)


def load_run(path: Path | str) -> Run:
    """Open the run in a folder.

    Raises:
        DatasetError: the folder holds no run, or a run of another version.
    """
    path = Path(path)
    try:
        config = decode_json((path / CONFIG_FILE).read_bytes(), RunConfig)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path}: holds no run (no {CONFIG_FILE}); give the --out folder of edgehar-train"
        ) from error
    except msgspec.DecodeError as error:
        raise DatasetError(f"{path / CONFIG_FILE}: {error}; train the run again with this version") from error
    return Run(path, config)


def load_network(path: Path) -> keras.Model:
    """Load the network of a `.keras` file.

    Raises:
        DatasetError: the file cannot be read, or is not a network of windows.
    """
    import keras

    import edgehar_training.models.layers  # noqa: F401 - they are registered by the import

    try:
        model = keras.saving.load_model(path, compile=False)
        for name in ("encoder", "head"):
            model.get_layer(name)
    except (OSError, ValueError, TypeError, KeyError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise DatasetError(f"{path}: cannot be read as a network with an encoder and a head: {text[0]}") from error
    return model
