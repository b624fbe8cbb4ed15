"""Write the pictures that the virtual camera shows: pictures.py FOLDER. A figure walks, 25 pictures a second."""

import sys
from pathlib import Path

from PIL import Image

from edgehar.pictures import as_bgr
from edgehar.sources import open_source

folder = Path(sys.argv[1])
folder.mkdir(parents=True)
with open_source("synthetic:walking?duration_s=4&width=640&height=480&rate_hz=25") as source:
    for number, frame in enumerate(source):
        Image.fromarray(as_bgr(frame)[..., ::-1].copy()).save(folder / f"{number}.jpg", quality=95, subsampling="4:2:0")
