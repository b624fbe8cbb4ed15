"""What conditions do to the frames of clips, and that bundles are shown just that."""

import csv
import json
import re

import av
import numpy as np
import pytest
from support.helpers import flat_frames, write_video
from support.tiny_bundle import write_tiny_bundle

from edgehar import Frame, PixelFormat
from edgehar.errors import ConfigError, DatasetError
from edgehar.model.bundle import ModelBundle
from edgehar.pictures import as_bgr
from edgehar_training.data.datasets import Clip
from edgehar_training.data.frames_cache import FramesCache
from edgehar_training.evaluation.conditions import changes
from edgehar_training.evaluation.conditions.changes import CONDITIONS, RECORDED, Place, chosen, clip_seed
from edgehar_training.evaluation.conditions.figures import condition_figures, write_csv
from edgehar_training.evaluation.conditions.measure import Bench, BundleClips, Measured, bench_of_bundle, measure
from edgehar_training.evaluation.conditions.pages import conditions_section, conditions_text
from edgehar_training.evaluation.conditions.recode import Recoder, Timed
from edgehar_training.evaluation.conditions.scoring import Task, score_conditions
from edgehar_training.evaluation.evaluated import Evaluated
from edgehar_training.evaluation.scored import ScoredClip, ScoredClips
from edgehar_training.scoring.clips import score_bundle
from edgehar_training.settings import DataSettings

FRAME = Place(seed=7, index=3)


def change(name, picture, place=FRAME):
    return CONDITIONS[name].change(picture, place)


def flat(level, height=48, width=64):
    return flat_frames([level], height, width)[0]


def textured(height, width):
    """Random patches of a few pixels a side, in grey."""
    patches = np.random.default_rng(0).integers(0, 256, (-(-height // 4), -(-width // 4), 1), np.uint8)
    return patches.repeat(4, axis=0).repeat(4, axis=1).repeat(3, axis=2)[:height, :width]


def ignore(*_):
    pass


def test_dark_leaves_black_and_white_and_takes_most_from_the_middle():
    ramp = np.arange(256, dtype=np.uint8).reshape(8, 32, 1).repeat(3, axis=2)
    levels = change("dark", ramp)[..., 0].ravel()
    assert levels[[0, 255]].tolist() == [0, 255]
    assert levels[128] == round(255 * (128 / 255) ** 2.5)
    assert (np.diff(levels.astype(int)) >= 0).all()


@pytest.mark.parametrize("height", [100, 300])
def test_blur_goes_with_the_height_of_the_frame(height):
    edge = np.zeros((height, 200, 3), np.uint8)
    edge[:, 100:] = 255
    slope = np.diff(change("blur", edge)[height // 2, :, 0].astype(float)) / 255
    places = np.arange(len(slope))
    middle = (slope * places).sum()
    assert np.sqrt((slope * (places - middle) ** 2).sum()) == pytest.approx(height / 100, abs=0.1)


def test_noise_is_of_each_pixel_channel_and_frame_by_itself():
    first, again, other = (change("noise", flat(128), Place(7, index)).astype(float) for index in (3, 3, 4))
    assert (first == again).all()
    assert (first - 128).std(axis=(0, 1)) == pytest.approx([10] * 3, abs=0.6)
    assert first.mean() == pytest.approx(128, abs=0.5)
    for one, two in ((first, other), (first[..., :2], first[..., 1:]), (first[:, :-1], first[:, 1:])):
        assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.06
    assert change("noise", flat(0)).max() < 70


def test_mirrored_is_left_for_right():
    picture = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    assert (change("mirrored", picture) == picture[:, ::-1]).all()


def test_a_tenth_is_cut_off_one_side_the_same_for_all_frames_of_a_clip():
    rows, columns = np.mgrid[:40, :60].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=2)
    cut = [change("shifted", picture, Place(seed, index)) for seed in range(20) for index in (0, 9)]
    assert {part.shape for part in cut} == {(36, 54, 3)}
    corners = [tuple(part[0, 0, :2].tolist()) for part in cut]
    assert set(corners) == {(0, 0), (0, 6), (4, 0), (4, 6)}
    assert corners[::2] == corners[1::2]


def test_grey_keeps_what_the_eye_takes_for_bright():
    for colour, share in (((255, 0, 0), 0.114), ((0, 255, 0), 0.587), ((0, 0, 255), 0.299)):
        picture = np.broadcast_to(np.array(colour, np.uint8), (8, 8, 3))
        assert change("grey", picture).tolist() == [[round(255 * share)] * 8] * 8


def test_a_lower_jpeg_quality_is_a_larger_change():
    picture = textured(48, 64)
    off = [np.abs(change(name, picture).astype(int) - picture).mean() for name in ("jpeg-90", "jpeg-40")]
    assert 0 < off[0] < off[1] / 1.5


def test_shake_moves_every_frame_by_about_a_hundredth_of_the_width():
    rows, columns = np.mgrid[:100, :200].astype(np.uint8)
    picture = np.stack([rows, columns, rows], axis=2)
    moved = np.array([change("shake", picture, Place(1, i))[50, 100, :2] for i in range(200)]) - np.array([50, 100])
    assert moved.astype(np.int8).std(axis=0) == pytest.approx([2, 2], abs=0.4)
    assert np.abs(moved.astype(np.int8)).max() <= 6


def test_flicker_changes_the_brightness_of_whole_frames():
    changed = [change("flicker", flat(100), Place(1, index)) for index in range(200)]
    assert all((picture == picture[0, 0, 0]).all() for picture in changed)
    gains = np.array([picture[0, 0, 0] for picture in changed]) / 100
    assert 0.79 < gains.min() < 0.83 < 1.17 < gains.max() < 1.21
    assert change("flicker", flat(250), Place(1, int(gains.argmax()))).max() == 255


def test_frames_are_missing_as_told_and_never_the_first():
    assert [changes.every_other(Place(1, index)) for index in range(5)] == [True, False, True, False, True]
    kept = np.array([[changes.not_dropped(Place(seed, index)) for index in range(100)] for seed in range(20)])
    assert kept[:, 0].all()
    assert kept[:, 1:].mean() == pytest.approx(0.8, abs=0.04)
    assert len({tuple(row) for row in kept.tolist()}) == 20


def test_what_is_random_depends_on_clip_and_condition():
    assert len({clip_seed(name, clip) for name in ("noise", "shake") for clip in ("a.mp4", "b.mp4")}) == 4
    assert clip_seed("noise", "a.mp4") == clip_seed("noise", "a.mp4")


def test_conditions_are_chosen_by_name_with_the_clips_as_recorded():
    assert list(CONDITIONS) == [condition.name for condition in CONDITIONS.values()]
    assert chosen([]) == chosen(["dark", "all"]) == list(CONDITIONS.values())
    assert [condition.name for condition in chosen(["noise", "dark"])] == ["as-recorded", "dark", "noise"]
    with pytest.raises(ConfigError, match="fog: no such condition; there are all, as-recorded, h264"):
        chosen(["dark", "fog"])


def recoded(pictures, times_s, bits_per_s=150_000, **options):
    recoder = Recoder(bits_per_s, **options)
    frames = [frame for i, p in enumerate(pictures) for frame in recoder.push(Timed(p, i, times_s[i]))]
    return recoder, frames + recoder.finish()


needs_x264 = pytest.mark.skipif("libx264" not in av.codecs_available, reason="this PyAV has no x264")


@needs_x264
@pytest.mark.parametrize("rate_hz", [10, 30])
def test_the_bit_rate_is_held_at_the_clips_own_frame_rate(rate_hz):
    scene = textured(241, 441)
    pictures = [scene[:, 2 * step : 2 * step + 321] for step in range(2 * rate_hz)]
    times_s = np.arange(len(pictures)) / rate_hz
    recoder, frames = recoded(pictures, times_s)
    assert recoder.bits / (len(pictures) / rate_hz) < 1.6 * 150_000
    assert [(frame.captured_s, frame.sequence) for frame in frames] == list(
        zip(times_s, range(len(frames)), strict=True)
    )
    assert {(frame.height, frame.width) for frame in frames} == {(240, 320)}
    off = np.abs(as_bgr(frames[0]).astype(int) - pictures[0][:240, :320]).mean()
    fine = recoded(pictures, times_s, 50_000_000)[1]
    assert off > 2 * np.abs(as_bgr(fine[0]).astype(int) - pictures[0][:240, :320]).mean()


@needs_x264
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_an_encoder_that_has_run_begins_a_clip_no_coarser_than_it_goes_on(count):
    scene = textured(240, 640)
    pictures = [scene[:, 2 * step : 2 * step + 320] for step in range(count)]
    times_s = np.arange(count) / 20
    off = {}
    for running in (False, True):
        recoder, frames = recoded(pictures, times_s, running=running)
        assert [(frame.captured_s, frame.sequence) for frame in frames] == list(zip(times_s, range(count), strict=True))
        assert recoder.bits > 0
        off[running] = [np.abs(as_bgr(f).astype(int) - p).mean() for f, p in zip(frames, pictures, strict=True)]
    assert off[True][0] < 0.7 * off[False][0]
    assert off[True][0] < 1.5 * off[True][-1]


@needs_x264
@pytest.mark.parametrize("height", [48, 720])
def test_encoding_anew_keeps_colours(height):
    colour = np.array([40, 90, 200], np.uint8)
    _, frames = recoded([np.broadcast_to(colour, (height, 64, 3))] * 3, [0.0, 0.04, 0.08])
    assert len(frames) == 3
    assert np.abs(as_bgr(frames[-1]).astype(int) - colour).max() <= 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Eighteen clips of half a second: those of even numbers are bright enough, but not in the dark."""
    folder = tmp_path_factory.mktemp("clips")
    levels = [150 + number if number % 2 == 0 else 20 + number for number in range(18)]
    names = [write_video(folder / f"{number}.mp4", flat_frames([level] * 12)) for number, level in enumerate(levels)]
    return [Clip(str(path), ("bright", "dark")[n % 2], f"place-{n}") for n, path in enumerate(names)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return ModelBundle.open(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "a.edgehar", rate_hz=12.5))


def test_clips_as_recorded_get_the_scores_of_the_device_path(clips, bundle, tmp_path):
    tasks = [Task(clip, clip.path, [str(bundle.path)]) for clip in clips]
    conditions = chosen(["dark", "noise", "dropped"])
    found, skipped = score_conditions(tasks, conditions, 1, ignore, jobs=1)
    cache = FramesCache(tmp_path, 16, 16)
    expected = [windows.mean(axis=0) for windows in score_bundle(bundle.path, [cache.load(c) for c in clips], hop=1)]
    assert not skipped
    assert np.array(found["as-recorded"])[:, 0].tolist() == np.array(expected).tolist()
    assert all(scores[0][0] > 0.5 for scores in found["as-recorded"][::2])
    assert all(scores[0][0] < 0.5 for scores in found["dark"])
    again, _ = score_conditions(tasks, conditions, 1, ignore, jobs=2)
    assert {name: np.array(rows).tolist() for name, rows in again.items()} == {
        name: np.array(rows).tolist() for name, rows in found.items()
    }


def test_clips_of_one_video_are_cut_out_of_it(bundle, tmp_path):
    path = str(write_video(tmp_path / "a.mp4", flat_frames([220] * 12 + [20] * 12)))
    early, late, none = (Clip(path, "bright", "g", *times) for times in ((0.0, 0.4), (0.6, 0.9), (5.0, 6.0)))
    tasks = [Task(clip, str(number), [str(bundle.path)] * 2) for number, clip in enumerate((early, late))]
    found, _ = score_conditions(tasks, [RECORDED], 2, ignore)
    assert [[scores.argmax() for scores in by_bundle] for by_bundle in found["as-recorded"]] == [[0, 0], [1, 1]]
    with pytest.raises(DatasetError, match=r"no frame from 5\.0 s to 6\.0 s"):
        score_conditions([Task(none, "a", [str(bundle.path)])], [RECORDED], 2, ignore)


def test_a_bundle_is_measured_on_what_can_be_read(clips, bundle, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    bench = bench_of_bundle(bundle, DataSettings(folder=str(tmp_path)), [*clips, Clip(str(broken), "dark", "g")])
    measured = measure(bench, chosen(["dark"]), 2, ignore)
    figures = condition_figures(measured, 2)
    assert any("broken.mp4" in text for text in figures["warnings"])
    recorded, dark = figures["conditions"]
    assert (recorded["top1"], dark["top1"], dark["difference"], dark["other_answers"]) == (1.0, 0.5, -0.5, 0.5)
    assert dark["per_class"] == {"bright": 0.0, "dark": 1.0}
    assert dark["difference_interval_95"][0] < -0.5 < dark["difference_interval_95"][1] < 0


def test_bundles_that_see_other_frames_are_not_measured_together(clips, bundle, tmp_path):
    other = ModelBundle.open(write_tiny_bundle(tmp_path / "b.edgehar", rate_hz=25.0))
    bench = Bench([BundleClips(one, clips[:1], None) for one in (bundle, other)], ignore)
    with pytest.raises(DatasetError, match="different size, crop or rate"):
        measure(bench, [RECORDED], 2, ignore)


def measured_by_hand():
    """Two seeds with test clips of their own; in the dark one clip of each is lost."""
    clip = [Clip(f"{n}.mp4", "ab"[n % 2], f"g{n // 2}") for n in range(8)]

    def scored(wrong):
        rows = []
        for seed, numbers in ((0, range(5)), (1, range(3, 8))):
            for n in numbers:
                right = np.eye(2, dtype=np.float32)[n % 2]
                rows.append(ScoredClip(clip[n], clip[n].path, right[::-1] if (seed, n) in wrong else right, seed))
        return ScoredClips(["a", "b"], rows)

    recorded, dark = scored({(0, 0)}), scored({(0, 0), (0, 1), (1, 3)})
    evaluated = Evaluated("runs/a", "int8 <x>", "data", "5-fold", recorded)
    return Measured(evaluated, {RECORDED: recorded, CONDITIONS["dark"]: dark})


def test_the_difference_is_that_of_the_accuracies(tmp_path):
    figures = condition_figures(measured_by_hand(), 2)
    recorded, dark = figures["conditions"]
    assert (recorded["top1"], recorded["difference"]) == (pytest.approx(0.9), None)
    assert dark["top1"] == pytest.approx(0.7)
    assert dark["difference"] == pytest.approx(-0.2)
    assert dark["per_seed"] == {"0": pytest.approx(0.6), "1": pytest.approx(0.8)}
    low, high = dark["difference_interval_95"]
    assert low < -0.2 < high <= 0
    write_csv(tmp_path / "c.csv", figures)
    with (tmp_path / "c.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["condition"] for line in lines] == ["as-recorded", "dark"]
    assert (lines[0]["difference"], float(lines[1]["difference"])) == ("", pytest.approx(-0.2))
    json.dumps(figures)


def test_figures_are_shown_as_text_and_as_a_chart():
    pytest.importorskip("markupsafe", reason="the chart needs the report extra")
    figures = condition_figures(measured_by_hand(), 2)
    text = conditions_text(figures)
    assert re.search(r"^dark +0\.700 .* -0\.200 .* 20\.0%  gamma 2\.5$", text, re.MULTILINE)
    assert text.startswith("WARNING: 4 groups only")
    section = conditions_section(figures).body
    assert section.count("<rect") == 2
    widths = [float(width) for width in re.findall(r'<rect [^>]*? width="([\d.]+)"', section)]
    assert widths[1] / widths[0] == pytest.approx(0.7 / 0.9, abs=1e-3)


def test_a_grey_frame_reaches_the_kernel_as_grey():
    frame = Frame(change("grey", flat(90)), PixelFormat.GRAY8, 0.0, 0.0, 0)
    assert as_bgr(frame).tolist() == flat(90).tolist()
