"""Words for measured alarms."""

import msgspec

from edgehar.model.manifest import Alarms
from edgehar.model.measured import false_alarms_text, found_text

ALARMS = Alarms(
    protocol="group-disjoint 5-fold", labels=["fight"], seeds=[0, 1, 2], hours=1.95, false_alarms=8,
    per_hour_95=(0.741, 13.2), incidents=405, found=259, found_95=(0.539, 0.731), delay_s=1.668,
)  # fmt: skip


def test_figures_are_of_a_mean_seed():
    assert false_alarms_text(ALARMS) == (
        "4.1 an hour (95 % interval 0.74 to 13) in 39 minutes of ordinary footage, mean of 3 seeds"
    )
    assert found_text(ALARMS) == "64% (95 % interval 54% to 73%) of 135 incidents, after a median of 1.7 s"


def test_one_network_and_nothing_found_or_shown():
    silent = msgspec.structs.replace(
        ALARMS, seeds=[], hours=0.5, false_alarms=0, per_hour_95=(0, 7.38), incidents=1, found=0, found_95=(0, 1),
        delay_s=None,
    )  # fmt: skip
    assert false_alarms_text(silent) == "0 an hour (95 % interval 0 to 7.4) in 30 minutes of ordinary footage"
    assert found_text(silent) == "0% (95 % interval 0% to 100%) of 1 incident"
    assert found_text(msgspec.structs.replace(silent, incidents=0, found_95=None)) == "no incident was shown"
