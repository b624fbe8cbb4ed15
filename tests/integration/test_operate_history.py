"""`edgehar operate MODEL --history`: alarms of a real run's history at other thresholds, and wrong use."""

import json

import pytest
from support.helpers import assert_one_line_error, flat_frames, run_command, write_video


@pytest.fixture(scope="module")
def watched(tmp_path_factory, tiny_bundle):
    """A history of 12 s of video that is dark at first and then bright."""
    folder = tmp_path_factory.mktemp("watched")
    write_video(folder / "hall.mp4", flat_frames([20] * 60 + [230] * 60))
    config = folder / "edgehar.toml"
    config.write_text(
        f'model = "{tiny_bundle}"\n[[camera]]\nsource = "{folder}/hall.mp4"\nname = "hall"\n'
        f'[history]\nenabled = true\ndirectory = "{folder}/history"\n'
    )
    done = run_command("edgehar-run", "--config", config)
    assert done.returncode == 0, done.stderr
    return folder / "history"


def test_it_counts_the_alarms_of_the_run(watched, tiny_bundle):
    done = run_command(
        "edgehar",
        "operate",
        tiny_bundle,
        "--history",
        watched,
        "--thresholds",
        "0.5",
        "1",
        "--at-most",
        "1/week",
        "--json",
    )
    assert done.returncode == 0, done.stderr
    (camera,) = json.loads(done.stdout)["cameras"].values()
    low, high = camera["actions"]["bright"]["thresholds"]
    assert (low["alarms"], high["alarms"]) == (1, 0)
    assert low["interval_95"][0] < low["per_day"] < low["interval_95"][1]
    assert camera["actions"]["bright"]["threshold"] is None
    assert camera["actions"]["bright"]["hours_needed"] > 500


def test_the_table_says_what_is_missing(watched, tiny_bundle):
    done = run_command("edgehar", "operate", tiny_bundle, "--history", watched, "--at-most", "1/day")
    assert done.returncode == 0, done.stderr
    assert "bright: threshold, alarms, alarms a day" in done.stdout
    assert "hours are too few" in done.stdout


def test_wrong_use_is_one_line(watched, tiny_bundle, tmp_path):
    done = run_command("edgehar", "operate", tiny_bundle, "--at-most", "1/day")
    assert_one_line_error(done, 2, "--at-most needs --history")
    done = run_command("edgehar", "operate", tiny_bundle, "--history", watched, "--ordinary", tmp_path)
    assert_one_line_error(done, 2, "without --ordinary")
    done = run_command("edgehar", "operate", tiny_bundle, "--history", tmp_path)
    assert_one_line_error(done, 2, "holds no history")
