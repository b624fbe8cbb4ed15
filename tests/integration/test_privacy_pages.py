"""The promises of docs/privacy.md about the pages and the inbox."""

import contextlib

import av
import cv2
import numpy as np
from support.helpers import flat_frames, run_command, start_command, write_video
from support.recordings import moving_frames
from support.web_site import Browser, LiveStream, free_port


def inbox_of(folder, tiny_bundle, **settings):
    """The files of the inbox of a run over three seconds of moving frames, at the pace of a camera."""
    clip = write_video(folder / "clip.mp4", moving_frames(75))
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items() if name != "camera")
    config = folder / "edgehar.toml"
    config.write_text(
        f'model = "{tiny_bundle}"\noutput = "none"\n{settings.get("camera", "")}\n'
        f'[inbox]\nenabled = true\ndirectory = "{folder / "inbox"}"\nper_hour = 3600\nseconds = 1\n{lines}'
    )
    camera = f'[[camera]]\nname = "hall"\nsource = "{clip}"\nrealtime = true\n'
    config.write_text(config.read_text().replace("CAMERA", camera))
    done = run_command("edgehar-run", "--config", config)
    assert done.returncode == 0, done.stderr
    return [path for path in (folder / "inbox").rglob("*") if path.is_file()]


def test_an_inbox_of_features_holds_no_picture(tmp_path, tiny_bundle):
    files = inbox_of(tmp_path, tiny_bundle, camera="CAMERA")
    assert {path.suffix for path in files} == {".npy", ".json"}
    for path in files:
        if path.suffix == ".npy":
            features = np.load(path, allow_pickle=False)
            # Eight numbers a frame: the encoder's, not pixels.
            assert features.shape[1] == 8
            assert path.stat().st_size <= features.nbytes + 200
        else:
            assert path.stat().st_size < 2000
        assert path.stat().st_mode & 0o777 == 0o600


def test_without_pictures_an_inbox_keeps_no_clip(tmp_path, tiny_bundle):
    files = inbox_of(tmp_path, tiny_bundle, camera='pictures = "none"\nCAMERA', keep='"clips"')
    assert {path.suffix for path in files} == {".npy", ".json"}


def test_a_masked_pixel_is_in_no_clip_of_the_inbox(tmp_path, tiny_bundle):
    masks = "masks = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]]\n"
    files = inbox_of(tmp_path, tiny_bundle, camera=f"CAMERA{masks}", keep='"clips"')
    clips = [path for path in files if path.suffix == ".mp4"]
    assert clips
    for clip in clips:
        assert clip.stat().st_mode & 0o777 == 0o600
        with av.open(str(clip)) as video:
            for frame in video.decode(video=0):
                pixels = frame.to_ndarray(format="gray")
                height, width = pixels.shape
                assert pixels[: height // 2 - 8, : width // 2 - 8].max() < 40
                assert pixels[height // 2 + 8 :].max() > 40


def shown_on_pages(folder, bundle, text, kinds):
    """The parts of so many kinds that the pages of a run on a white video show, by kind; and the snapshot."""
    video = write_video(folder / "white.mp4", flat_frames([255] * 50, 120, 160))
    config, port = folder / "web.toml", free_port()
    config.write_text(
        f'model = "{bundle}"\noutput = "none"\n{text}\n[[camera]]\nname = "hall"\nsource = "{video}"\n'
        "loop = true\nrealtime = true\nmasks = [[[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.0, 0.5]]]\n"
    )
    with start_command("edgehar-run", "--config", config, "--web", f"127.0.0.1:{port}") as process:
        try:
            while "web: http" not in process.stderr.readline():
                assert process.poll() is None
            browser = Browser(port)
            while browser.json("/api/v1/cameras/hall")["label"] is None:
                pass
            parts = {}
            with contextlib.closing(LiveStream(browser, "/api/v1/live?input=1")) as live:
                while len(parts) < kinds:
                    headers, body = live.part()
                    parts[headers["X-Kind"]] = body
                headers, body = live.part()
                parts[headers["X-Kind"]] = body
            return parts, browser.get("/api/v1/cameras/hall/picture.jpg")
        finally:
            process.kill()
            process.communicate()


def test_a_masked_pixel_is_on_no_page(tmp_path, tiny_bundle):
    parts, (_, snapshot) = shown_on_pages(tmp_path, tiny_bundle, "", kinds=3)
    for image in (parts["picture"], parts["input"], snapshot):
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        height, width = pixels.shape[:2]
        # JPEG spreads the edge over blocks of 8 pixels.
        inside = pixels[: max(1, height // 2 - 8), : max(1, width // 2 - 8)]
        assert inside.max() < 8
        assert pixels[height // 4, width // 4].max() < 8
        assert pixels[3 * height // 4, 3 * width // 4].min() > 240


def test_without_pictures_no_page_shows_one(tmp_path, tiny_bundle):
    parts, (status, _) = shown_on_pages(tmp_path, tiny_bundle, 'pictures = "none"', kinds=1)
    assert set(parts) == {"state"}
    assert status == 404
