"""What the network sees in training is what the device's ring gives."""

import numpy as np
import pytest

from edgehar import Frame, FrameRing, PixelFormat
from edgehar.model.manifest import Affine, Input
from edgehar_training.data.preprocess import HISTORY, Preprocessor
from edgehar_training.runs.run import RunConfig
from edgehar_training.settings import NetworkSettings


def make(motion):
    shape = Input(height=60, width=60, channels=3, colour_order="RGB", resize="area", crop="stretch", motion=motion)
    return Preprocessor(shape, Affine(scale=1 / 255, zero_point=-128 if motion == "none" else 0))


def frames(count=30):
    return np.random.default_rng(3).integers(0, 256, (count, 60, 60, 3), np.uint8)


def test_colours_come_back_as_levels_of_255():
    preprocessor, pixels = make("none"), frames()
    quantized = preprocessor.quantized(pixels)
    assert quantized.dtype == np.int8
    np.testing.assert_allclose(preprocessor.real(quantized), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("motion", ["none", "grey-difference"])
def test_a_training_window_equals_the_stream_at_that_place(motion):
    preprocessor, pixels = make(motion), frames()
    stream = preprocessor.quantized(pixels)
    for start in (HISTORY, 5, 10):
        window = preprocessor.window(pixels[start - HISTORY : start + 20])
        assert np.array_equal(window, stream[start : start + 20])


@pytest.mark.parametrize("motion", ["none", "grey-difference"])
def test_shrinking_first_gives_what_the_device_gives(motion):
    preprocessor = make(motion)
    camera = np.random.default_rng(4).integers(0, 256, (8, 120, 161, 3), np.uint8)
    small = FrameRing(8, 60, 60, dtype="uint8")
    device = FrameRing(8, 60, 60, dtype="int8", zero_point=preprocessor.affine.zero_point, motion=motion)
    for index, image in enumerate(camera):
        for ring in (small, device):
            ring.push(Frame(image, PixelFormat.BGR24, index / 25, 0.0, index))
    assert np.array_equal(preprocessor.quantized(small.window()), device.window())


def test_motion_is_the_signed_difference_of_grey_levels():
    levels = np.array([10, 40, 30], np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (3, 60, 60, 3))
    motion = make("grey-difference").quantized(np.ascontiguousarray(pixels))
    assert motion[:, 0, 0].tolist() == [[0, 0, 0], [30, 30, 30], [-10, 20, 10]]


@pytest.mark.parametrize("motion_range", [8, 32, 128])
def test_motion_saturates_at_its_range(motion_range):
    config = RunConfig(network=NetworkSettings(input="motion", motion_range=motion_range))
    preprocessor, pixels = Preprocessor(config.frame, config.affine), frames(6)
    quantized = preprocessor.quantized(pixels)
    grey = ((pixels.astype(int) @ [77, 150, 29] + 128) >> 8)[..., None]
    step = motion_range / 128
    expected = np.clip(np.floor((grey[1:] - grey[:-1]) / step + 0.5), -128, 127)[..., 0]
    assert np.array_equal(quantized[1:, ..., 0], expected)
    assert abs(preprocessor.real(quantized)).max() <= motion_range / 255 + 1e-6
