"""Small valid objects for tests to change one thing of."""

from edgehar.model import manifest as m


def sample_manifest(labels=("fight", "noFight"), *, size=16, window=4, motion="none", rate_hz=10.0, hop=2):
    """A valid manifest of a tiny model; `files` is for `write_bundle` to fill in."""
    return m.Manifest(
        schema_version=1,
        name="tiny",
        labels=list(labels),
        input=m.Input(
            height=size, width=size, channels=3, colour_order="RGB", resize="area", crop="stretch", motion=motion
        ),
        temporal=m.Temporal(window=window, rate_hz=rate_hz, hop=hop),
        quantization=m.Quantization(
            input=m.Affine(scale=1 / 255, zero_point=-128 if motion == "none" else 0),
            seam=m.Affine(scale=0.05, zero_point=-128),
            output=m.Affine(scale=1 / 256, zero_point=-128),
        ),
        files={},
        decision=m.Decision(),
        provenance=m.Provenance(
            dataset="made for a test",
            split="none",
            seed=0,
            parity=m.Parity(clips=2, float_top1=0.5, int8_top1=0.5, agreement=1.0, max_score_difference=0.0),
            accuracy=[
                m.Accuracy(protocol="none", clips=2, seeds=[0], float_top1=0.5, int8_top1=None, interval_95=(0.0, 1.0))
            ],
            tools={},
            commit="0000000",
        ),
    )


def sample_alarms(**changes) -> m.Alarms:
    """Alarms of three seeds, 39 minutes and 135 incidents each."""
    figures = {
        "protocol": "group-disjoint 5-fold", "labels": ["fight"], "seeds": [0, 1, 2], "hours": 1.95, "false_alarms": 8,
        "per_hour_95": (0.741, 13.2), "incidents": 405, "found": 259, "found_95": (0.539, 0.731), "delay_s": 1.668,
    }  # fmt: skip
    return m.Alarms(**{**figures, **changes})
