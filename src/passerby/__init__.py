"""passerby: every pedestrian in a picture, with a box and attributes."""

from ._version import __version__

__all__ = ["__version__"]
