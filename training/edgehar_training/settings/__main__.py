"""Writes the reference of settings: `python -m edgehar_training.settings PAGE`."""

from __future__ import annotations

import sys
from pathlib import Path

from edgehar_training.settings.pages import reference

if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
