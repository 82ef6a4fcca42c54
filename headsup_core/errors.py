"""The errors that people meet. Each message says what is wrong, where, with the numbers, and the remedy.

`__module__` is set because ComfyUI, which imports the pack under its folder's path, shows it in front of the message.
"""

_MODULE = "headsup_core.errors"


class HeadsUpError(Exception):
    """Base of every error this package raises on purpose; one line, made to be shown to a user."""

    __module__ = _MODULE


class InputError(HeadsUpError, ValueError):
    """A picture or an option cannot be used as given (size, NaN, scale 0, overlap >= tile, bad name ...)."""

    __module__ = _MODULE


class ModelFileError(HeadsUpError):
    """A model file is missing, truncated, of another kind, or unsafe to read."""

    __module__ = _MODULE


class DownloadError(HeadsUpError):
    """A model file that the user asked for could not be fetched whole, or is not the file that was published."""

    __module__ = _MODULE
