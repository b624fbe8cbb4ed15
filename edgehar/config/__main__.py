"""`python -m edgehar.config docs/config.md` writes the tables of settings into that page."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from edgehar.config.pages import reference
from edgehar.files import write_text

BEGIN, END = "<!-- settings: written by python -m edgehar.config -->\n", "<!-- end of settings -->\n"


def renewed(page: str) -> str:
    """Return the text of a page with up-to-date tables of settings."""
    return re.sub(f"(?<={BEGIN}).*?(?={END})", lambda _: f"\n{reference()}\n", page, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write_text(Path(name), renewed(Path(name).read_text(encoding="utf-8")))
