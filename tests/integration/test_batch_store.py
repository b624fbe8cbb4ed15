"""`edgehar batch` over objects of an S3 server."""

import numpy as np
import pandas as pd
import pytest
from support.helpers import assert_one_line_error, environment, run_command, write_video
from support.upload_servers import BUCKET, S3_PASSWORD, S3_USER, s3

obstore = pytest.importorskip("obstore", reason="needs the upload extra")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    made = s3(folder, folder / "served")
    if made is None:
        pytest.skip("needs s3rver: scripts/install_test_tools.sh")
    yield made.start()
    made.stop()


@pytest.fixture(scope="module")
def env(server):
    return environment(
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.port}",
        AWS_ACCESS_KEY_ID=S3_USER,
        AWS_SECRET_ACCESS_KEY=S3_PASSWORD,
        AWS_REGION="us-east-1",
    )


@pytest.fixture(scope="module")
def archive(env, tmp_path_factory):
    """A folder of videos, which are also in the bucket, below `cameras`."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(3):
        levels = [230 - number] * (6 + number) + [20 + number] * 8
        write_video(folder / f"{number}.mp4", [np.full((32, 32, 3), level, np.uint8) for level in levels], rate_hz=10)
    (folder / "text.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("not a video either")
    store = obstore.store.S3Store(
        BUCKET,
        endpoint=env["AWS_ENDPOINT_URL"],
        access_key_id=S3_USER,
        secret_access_key=S3_PASSWORD,
        region=env["AWS_REGION"],
        client_options={"allow_http": True},
    )
    for path in folder.iterdir():
        obstore.put(store, f"cameras/hall/{path.name}", path.read_bytes())
    return folder


def batch(env, bundle, out, *sources):
    return run_command("edgehar", "batch", *sources, "--model", bundle, "--out", out, "--jobs", 1, env=env)


def rows(out):
    """The rows of a table, without ids, and with the name of the file alone."""
    table = pd.read_parquet(out).drop(columns="id")
    return table.assign(source=table["source"].str.rpartition("/")[2])


def test_objects_are_classified_as_files_are(env, tiny_bundle, archive, tmp_path):
    here = batch(env, tiny_bundle, tmp_path / "here.parquet", archive)
    there = batch(env, tiny_bundle, tmp_path / "there.parquet", f"s3://{BUCKET}/cameras")
    assert (here.returncode, there.returncode) == (1, 1)
    assert f"damaged: s3://{BUCKET}/cameras/hall/text.mp4: not a readable video" in there.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "here.parquet"), rows(tmp_path / "there.parquet"))
    files = pd.read_parquet(tmp_path / "there.sources.parquet")
    assert list(files["status"]) == ["done", "done", "done", "damaged"]
    assert files["source"][0] == f"s3://{BUCKET}/cameras/hall/0.mp4"


def test_what_cannot_be_read_is_named(env, tiny_bundle, archive, tmp_path):
    out, url = tmp_path / "r.parquet", f"s3://{BUCKET}/cameras/hall"
    done = batch(env, tiny_bundle, out, f"{url}/0.mp4", f"{url}/gone.mp4")
    assert done.returncode == 1
    assert f"damaged: {url}/gone.mp4: does not exist in the store" in done.stderr
    assert_one_line_error(batch(env, tiny_bundle, tmp_path / "x.parquet", f"s3://{BUCKET}/empty"), 2, "no video file")
    assert_one_line_error(batch(env, tiny_bundle, tmp_path / "x.parquet", "s3://none/x"), 2, "x: cannot be listed")
