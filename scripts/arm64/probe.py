"""Write the results of this machine for `compare.py`: probe.py OUT.npz [SOURCE...]

Run with a Python that has edgehar installed. The arrays are named

- `kernel/...`: SHA-256 of resized frames.
- `encoder/MODEL`, `head/MODEL`: raw int8 outputs for the same inputs on all machines; `steps/PART/MODEL`: SHA-256
  of the outputs of each operator for them.
- `frames/SOURCE`, `shrunk/SOURCE/MODEL`: SHA-256 of each frame.
- `scores/SOURCE/MODEL`, `label/SOURCE/MODEL`: the output of `edgehar-run`.

Sources are paths or `synthetic:` addresses, named by the part after their last slash.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

from edgehar import Frame, FrameRing, ModelBundle, PixelFormat, open_source
from edgehar.frames import YuvMatrix, plane_shapes
from edgehar.model.interpreter import TfliteModel
from edgehar.model.runtime import load_runtime

MODELS = ("fight", "actions-synthetic")
# Height and width: reduction by small and large, whole and odd factors, and enlargement.
SIZES = ((48, 64), (120, 160), (121, 163), (480, 640), (479, 641), (720, 1280), (1080, 1920), (16, 24))
OUTPUTS = (
    {"height": 60, "width": 60},
    {"height": 64, "width": 64, "dtype": "uint8", "crop": "center"},
    {"height": 96, "width": 96, "dtype": "float32", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    {"height": 33, "width": 47, "scale": 0.007, "zero_point": 3, "crop": "letterbox", "region": (0.1, 0.2, 0.7, 0.6)},
    {"height": 60, "width": 60, "motion": "grey-difference"},
    {"height": 60, "width": 60, "dtype": "float32", "motion": "grey-difference"},
)


def digest(*arrays: np.ndarray) -> bytes:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).digest()


def noise_frame(seed: int, pixel_format: PixelFormat, height: int, width: int, **colors: object) -> Frame:
    rng = np.random.default_rng(seed)
    width -= width % 2 if pixel_format is PixelFormat.YUYV else 0
    planes = tuple(rng.integers(0, 256, shape, np.uint8) for shape in plane_shapes(pixel_format, height, width))
    return Frame(planes if len(planes) > 1 else planes[0], pixel_format, 0.0, 0.0, 0, **colors)


def kernel() -> dict[str, np.ndarray]:
    """Return digests of three resized frames for each format, size and kind of output."""
    found = {}
    for pixel_format, (height, width), (number, output) in itertools.product(PixelFormat, SIZES, enumerate(OUTPUTS)):
        for matrix, full_range in itertools.product(YuvMatrix, (False, True)):
            ring = FrameRing(3, **output)
            for seed in range(3):
                ring.push(noise_frame(seed, pixel_format, height, width, matrix=matrix, full_range=full_range))
            name = f"kernel/{pixel_format.value}/{width}x{height}/{output.get('dtype', 'int8')}/{number}"
            found[f"{name}/{matrix.value}-{'full' if full_range else 'limited'}"] = np.array(digest(ring.window()))
            if pixel_format not in (PixelFormat.I420, PixelFormat.NV12, PixelFormat.YUYV):
                break
    return found


def networks(bundle: ModelBundle, inputs: int = 200) -> dict[str, np.ndarray]:
    """Return raw outputs of both networks of a model for smooth and noisy inputs, and digests of each operator."""
    rng = np.random.default_rng(7)
    found = {}
    for part in ("encoder", "head"):
        content = bundle.read(f"{part}.tflite")
        model = TfliteModel(content, name=part)
        spreads = [1 + 126 * number // inputs for number in range(inputs)]
        values = [rng.integers(-spread, spread + 1, model.input_shape).astype(np.int8) for spread in spreads]
        found[f"{part}/{bundle.manifest.name}"] = np.stack([model.run(value) for value in values])
        found[f"steps/{part}/{bundle.manifest.name}"] = np.array(steps(content, values))
    return found


def steps(content: bytes, values: list[np.ndarray]) -> list[str]:
    """Return name and output digest of each operator of a network for `values`."""
    interpreter = load_runtime().interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    # The original operators come first, followed by those of a delegate.
    operators = [o for o in interpreter._get_ops_details() if o["op_name"] != "DELEGATE"]  # noqa: SLF001
    outputs: list[list[np.ndarray]] = [[] for _ in operators]
    for value in values:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], value)
        interpreter.invoke()
        for operator, kept in zip(operators, outputs, strict=True):
            kept.extend(interpreter.get_tensor(index) for index in operator["outputs"])
    return [f"{o['op_name']} {digest(*kept).hex()}" for o, kept in zip(operators, outputs, strict=True)]


def frames(source: str, bundles: list[ModelBundle]) -> dict[str, np.ndarray]:
    """Return digests of the frames of a source, as decoded and as resized for each model."""
    name = source.rpartition("/")[2]
    resizers = {bundle.manifest.name: bundle.make_resizer() for bundle in bundles}
    decoded: list[bytes] = []
    shrunk: dict[str, list[bytes]] = {model: [] for model in resizers}
    with open_source(source) as opened:
        for frame in opened:
            decoded.append(digest(*(frame.data if isinstance(frame.data, tuple) else (frame.data,))))
            for model, resizer in resizers.items():
                shrunk[model].append(digest(resizer.resize(frame)))
    return {
        f"frames/{name}": np.array(decoded),
        **{f"shrunk/{name}/{model}": np.array(digests) for model, digests in shrunk.items()},
    }


def answers(source: str, model: str) -> dict[str, np.ndarray]:
    """Return scores `(answers, labels)` and labels of the installed `edgehar-run` for every frame of a source."""
    command = [Path(sys.executable).with_name("edgehar-run"), "--source", source, "--model", model, "--hop", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"probe.py: edgehar-run --source {source} --model {model}: {done.stderr.strip()}")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    records = [record for record in records if record["type"] == "prediction"]
    name = f"{source.rpartition('/')[2]}/{model}"
    return {
        f"scores/{name}": np.array([list(record["scores"].values()) for record in records]),
        f"label/{name}": np.array([record["label"] for record in records]),
    }


def main() -> None:
    out, *sources = sys.argv[1:]
    bundles = [ModelBundle.open(name) for name in MODELS]
    runtime = load_runtime()
    found = {
        "machine": np.array(platform.machine()),
        "software": np.array(
            f"Python {platform.python_version()}, numpy {np.__version__}, {runtime.package} {runtime.version}"
        ),
    }
    found |= kernel()
    for bundle in bundles:
        found |= networks(bundle)
    for source in sources:
        found |= frames(source, bundles)
        for model in MODELS:
            found |= answers(source, model)
    np.savez_compressed(out, **found)


if __name__ == "__main__":
    main()
