"""The settings of a run: a struct for each group, shared by the command line, recipes and `config.json`."""

from edgehar_training.settings.augmentation import AugmentSettings
from edgehar_training.settings.data import DataSettings
from edgehar_training.settings.fit import FitSettings
from edgehar_training.settings.network import NetworkSettings
from edgehar_training.settings.quantize import QuantizeSettings
from edgehar_training.settings.run import RunSettings
from edgehar_training.settings.split import SplitSettings

__all__ = [
    "AugmentSettings",
    "DataSettings",
    "FitSettings",
    "NetworkSettings",
    "QuantizeSettings",
    "RunSettings",
    "SplitSettings",
]
