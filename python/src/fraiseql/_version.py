"""The version, said here and nowhere else: the build backend reads it too."""

__version__ = "0.1.0"
