"""Errors of edgehar. Each message says what is wrong, where, and what to do next."""


class EdgeharError(Exception):
    """Base class of all errors that edgehar raises on purpose."""


class ConfigError(EdgeharError):
    """An option or setting is invalid; the command line exits with 2."""


class SourceError(EdgeharError):
    """A camera, stream or file cannot be opened or read."""


class BundleError(EdgeharError):
    """A model bundle is missing, altered, incomplete or newer than this edgehar understands."""


class RuntimeUnavailableError(EdgeharError):
    """No TFLite runtime can be used, or it cannot run the model."""


class FleetError(EdgeharError):
    """The broker of a fleet cannot be reached or refuses, or a device does not do what was asked."""


class SinkError(EdgeharError):
    """Results cannot be written or published."""


class DatasetError(EdgeharError):
    """A data set's layout, labels or clips cannot be used."""


class ConversionError(EdgeharError):
    """A trained model cannot be turned into a bundle."""
