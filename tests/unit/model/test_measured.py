"""Words for measured alarms."""

from support.samples import sample_alarms

from edgehar.model.measured import false_alarms_text, found_text


def test_figures_are_of_a_mean_seed():
    assert false_alarms_text(sample_alarms()) == (
        "4.1 an hour (95 % interval 0.74 to 13) in 39 minutes of ordinary footage, mean of 3 seeds"
    )
    assert found_text(sample_alarms()) == "64% (95 % interval 54% to 73%) of 135 incidents, after a median of 1.7 s"


def test_one_network_and_nothing_found_or_shown():
    silent = sample_alarms(
        seeds=[], hours=0.5, false_alarms=0, per_hour_95=(0, 7.38), incidents=1, found=0, found_95=(0, 1), delay_s=None
    )
    assert false_alarms_text(silent) == "0 an hour (95 % interval 0 to 7.4) in 30 minutes of ordinary footage"
    assert found_text(silent) == "0% (95 % interval 0% to 100%) of 1 incident"
    loud = sample_alarms(seeds=[], hours=0.02, false_alarms=6, per_hour_95=(110.1, 653.0))
    assert false_alarms_text(loud) == "300 an hour (95 % interval 110 to 653) in 1 minute of ordinary footage"
    assert found_text(sample_alarms(incidents=0, found=0, found_95=None)) == "no incident was shown"
