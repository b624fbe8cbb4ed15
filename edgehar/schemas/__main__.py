"""Write the JSON Schemas into a folder: `python -m edgehar.schemas edgehar/schemas`."""

import sys
from pathlib import Path

from edgehar.schemas import SCHEMAS, schema_text

if len(sys.argv) != 2:
    sys.exit("usage: python -m edgehar.schemas DIR")
for name in SCHEMAS:
    Path(sys.argv[1], name).write_text(schema_text(name))
