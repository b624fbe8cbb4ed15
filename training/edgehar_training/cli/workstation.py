"""What the workstation commands need to be so before they import anything heavy."""

from __future__ import annotations

import importlib.util
import os

from edgehar.errors import EdgeharError

_NEEDED = ("keras", "sklearn", "matplotlib", "tqdm")


def prepare() -> None:
    """Check that the training extra is installed, and keep TensorFlow from talking.

    Raises:
        EdgeharError: a library is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EdgeharError(
            f"{', '.join(missing)} not installed: training and conversion need the train extra; in a checkout of "
            "edgehar run: pip install '.[train]'"
        )
    # TensorFlow reports at start which instructions it could use; only its errors matter here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
