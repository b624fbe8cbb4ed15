"""Exit with 0 if a camera gives frames, by the program's own metrics: the health check of the container image."""

from __future__ import annotations

import os
import re
import sys
import urllib.request


def main() -> int:
    """Ask once."""
    address = f"http://127.0.0.1:{os.environ.get('EDGEHAR_HEALTH__PROMETHEUS_PORT', '9108')}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=4) as answer:
            text = answer.read().decode()
    except OSError as error:
        print(f"{address}: {error}")
        return 1
    up = re.findall(r"^edgehar_camera_up\{[^}]*\} (\d)", text, re.MULTILINE)
    print(f"{up.count('1')} of {len(up)} cameras up")
    return 0 if "1" in up else 1


if __name__ == "__main__":
    sys.exit(main())
