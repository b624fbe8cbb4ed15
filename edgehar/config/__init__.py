"""The configuration of `edgehar-run`: one schema for the TOML file, the environment, the command line and the docs."""

from edgehar.config.changes import Change, diff
from edgehar.config.layers import Text
from edgehar.config.loading import ConfigProblemsError, Loaded, find_config, load, read, search_path
from edgehar.config.options import CameraOptions, Config

__all__ = [
    "CameraOptions",
    "Change",
    "Config",
    "ConfigProblemsError",
    "Loaded",
    "Text",
    "diff",
    "find_config",
    "load",
    "read",
    "search_path",
]
