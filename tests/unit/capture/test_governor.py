"""The governor halves the rate when hot or slow, doubles it again when neither, and says each change once."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgehar.capture.governor import Governor
from edgehar.capture.options import GovernorOptions

RATE_HZ = 12.5


class Device:
    """A device under a governor, whose time passes only when told to."""

    def __init__(self, *, modes=None, **options):
        self.now_s = 0.0
        self.said = []
        self.governor = Governor(RATE_HZ, GovernorOptions(**options), clock=lambda: self.now_s, decode_modes=modes)

    @property
    def share(self):
        return self.governor.rate_hz / RATE_HZ

    def work(self, seconds, full_load):
        """Look at frames that take `full_load` of the time at the full rate, on one thread."""
        cost_s, end_s = full_load / RATE_HZ, self.now_s + seconds
        while self.now_s < end_s:
            period_s = max(cost_s, 1 / self.governor.rate_hz)
            self.now_s += period_s
            self.note(self.governor.observe(cost_s, period_s))

    def decode(self, seconds, load, stream="hall"):
        """Decode for so many seconds, `load` of the time."""
        busy_s = 0.0
        for _ in range(int(10 * seconds)):
            self.now_s += 0.1
            busy_s += 0.1 * load
            self.note(self.governor.observe_decoding(stream, busy_s))

    def feel(self, seconds, celsius, throttled=False):
        for _ in range(int(seconds)):
            self.now_s += 1.0
            self.note(self.governor.observe_temperature(celsius, throttled))

    def note(self, said):
        if said is not None:
            self.said.append(said)


@pytest.mark.parametrize(
    ("full_load", "share"), [(0.1, 1), (0.85, 1), (0.95, 0.5), (1.7, 0.5), (2.0, 0.25), (50.0, 0.25)]
)
def test_a_constant_load_settles_at_the_first_rate_that_can_be_kept(full_load, share):
    device = Device()
    device.work(1800, full_load)
    assert device.share == share
    assert len(device.said) == {1: 0, 0.5: 1, 0.25: 2}[share]


def test_a_change_says_why_and_what():
    device = Device()
    device.work(6, 1.2)
    device.work(90, 0.2)
    assert device.said == [
        "too slow (busy 100% of the time): classifying 6.25 of the model's 12.5 frames a second",
        "cool and fast enough again: classifying 12.5 of the model's 12.5 frames a second",
    ]


def test_one_slow_frame_changes_nothing():
    device = Device()
    device.work(10, 0.2)
    device.now_s += 0.5
    device.note(device.governor.observe(0.5, 0.5))
    device.work(10, 0.2)
    assert device.said == []


def test_heat_lowers_at_once_and_then_step_by_step():
    device = Device()
    device.feel(1, 82.5)
    assert device.said == ["too hot (82 °C): classifying 6.25 of the model's 12.5 frames a second"]
    device.feel(29, 82.5)
    assert device.share == 0.5
    device.feel(1, 82.5)
    assert device.share == 0.25
    device.feel(600, 90)
    assert len(device.said) == 2


def test_after_heat_the_rate_comes_back_only_when_it_is_cool():
    device = Device()
    device.feel(1, 82)
    device.feel(600, 75)
    assert device.share == 0.5
    device.feel(60, 70)
    assert device.share == 0.5
    device.feel(1, 70)
    assert device.share == 1


def test_warm_but_never_hot_is_no_reason():
    device = Device()
    device.feel(600, 79.9)
    assert device.said == []


def test_a_throttled_processor_is_too_hot_whatever_its_temperature():
    device = Device()
    device.feel(1, None, throttled=True)
    assert device.said[0].startswith("the processor is throttled: ")
    device.feel(5, 50, throttled=True)
    device.feel(62, 50, throttled=False)
    assert device.share == 1


def test_a_cool_device_that_is_too_slow_stays_slowed_down():
    device = Device()
    device.work(10, 1.2)
    device.feel(600, 40)
    assert device.share == 0.5


def test_a_thermometer_that_is_gone_is_no_reason():
    device = Device()
    device.feel(1, 82)
    device.feel(62, None, throttled=None)
    assert device.share == 1


def test_streams_on_one_thread_are_slow_together():
    device = Device()
    for _ in range(200):
        # Each stream sees a frame every 0.1 s that takes 0.05 s: no time is left.
        for _stream in range(2):
            device.now_s += 0.05
            device.note(device.governor.observe(0.05, 0.1))
    assert device.said[0].startswith("too slow (busy 100% of the time)")


@pytest.mark.parametrize(
    ("least", "shares"), [(1, [1]), (0.6, [1]), (0.5, [1, 0.5]), (0.25, [1, 0.5, 0.25]), (0.1, [1, 0.5, 0.25, 0.125])]
)
def test_the_rate_is_never_under_its_share(least, shares):
    device = Device(min_rate_share=least, settle_s=0)
    seen = {device.share}
    for _ in range(10):
        device.feel(1, 100)
        seen.add(device.share)
    assert seen == set(shares)


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(msgspec.ValidationError, match="cool_c is 80, it must be under hot_c, which is 75"):
        msgspec.convert({"hot_c": 75, "cool_c": 80}, GovernorOptions)


MODES = ("full", "skip-loop-filter")


def test_less_is_decoded_before_the_rate_is_lowered_and_the_rate_comes_back_first():
    device = Device(modes=MODES)
    assert device.governor.decode_mode == "full"
    device.work(6, 1.2)
    assert (device.governor.decode_mode, device.share) == ("skip-loop-filter", 1)
    device.work(6, 1.2)
    assert (device.governor.decode_mode, device.share) == ("skip-loop-filter", 0.5)
    device.work(80, 0.2)
    assert (device.governor.decode_mode, device.share) == ("skip-loop-filter", 1)
    device.work(80, 0.2)
    assert (device.governor.decode_mode, device.share) == ("full", 1)
    assert [said.partition(": ")[2] for said in device.said] == [
        "decoding in mode skip-loop-filter",
        "classifying 6.25 of the model's 12.5 frames a second",
        "classifying 12.5 of the model's 12.5 frames a second",
        "decoding in mode full",
    ]


def test_heat_first_decodes_less():
    device = Device(modes=MODES)
    device.feel(1, 85)
    assert (device.governor.decode_mode, device.share) == ("skip-loop-filter", 1)
    device.feel(30, 85)
    assert device.share == 0.5


def test_a_decoder_that_would_be_too_slow_again_keeps_the_cheaper_mode():
    device = Device(modes=MODES)
    device.decode(20, 0.95)
    assert (device.governor.decode_mode, device.share) == ("skip-loop-filter", 1)
    # With the loop filter it would take 0.75 / 0.75 of the time.
    device.decode(10, 0.75)
    device.work(300, 0.1)
    assert device.governor.decode_mode == "skip-loop-filter"
    device.decode(10, 0.4)
    device.work(80, 0.1)
    assert device.governor.decode_mode == "full"
    assert len(device.said) == 2


def test_a_slow_decoder_lowers_no_rate():
    device = Device()
    device.decode(100, 0.99)
    assert (device.said, device.share, device.governor.decode_mode) == ([], 1, None)


def test_a_source_that_was_reopened_counts_its_busy_time_from_zero():
    device = Device(modes=MODES)
    device.decode(12, 0.95)
    device.governor.observe_decoding("hall", 0.0)
    assert device.said == ["decoding is too slow (busy 95% of the time): decoding in mode skip-loop-filter"]


steps = st.one_of(
    st.tuples(st.just("work"), st.floats(0.1, 40), st.floats(0.01, 5)),
    st.tuples(st.just("feel"), st.integers(1, 100), st.one_of(st.none(), st.floats(20, 100)), st.booleans()),
)


@given(st.lists(steps, max_size=12), st.floats(0.05, 1))
def test_every_change_is_one_step_and_is_said_once(script, least):
    device = Device(min_rate_share=least)
    shares, inner = [1.0], device.note

    def note(said):
        # Halved or doubled, and said; or neither.
        assert device.share in ({shares[-1] / 2, shares[-1] * 2} if said else {shares[-1]})
        shares.append(device.share)
        inner(said)

    device.note = note
    for what, *arguments in script:
        getattr(device, what)(*arguments)
    assert all(least <= share <= 1 and (1 / share).is_integer() for share in shares)


@given(st.lists(steps, max_size=12))
def test_from_anywhere_it_finds_back_to_the_full_rate(script):
    device = Device()
    for what, *arguments in script:
        getattr(device, what)(*arguments)
    device.feel(1, 40)
    device.work(200, 0.1)
    assert device.share == 1


@given(st.lists(steps, max_size=12), st.floats(70.1, 100))
def test_it_is_never_raised_in_heat(script, celsius):
    device = Device()
    for what, *arguments in script:
        getattr(device, what)(*arguments)
    device.feel(1, 80)
    before = device.share
    device.feel(300, celsius)
    assert device.share <= before


@given(st.floats(0.01, 20), st.floats(0.05, 1), st.floats(0.05, 1))
def test_a_constant_load_never_makes_it_swing(full_load, busy_share, least):
    device = Device(busy_share=busy_share, min_rate_share=least)
    device.work(600, full_load)
    assert all(said.startswith("too slow") for said in device.said)
