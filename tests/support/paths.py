"""Where tests find the repository and the real clips."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIPS = Path(os.environ.get("EDGEHAR_TEST_DATA", ROOT.parent / "shared/data"))
