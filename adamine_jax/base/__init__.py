"""What all packages use: the version, errors, files, flags, progress."""

__version__ = "0.2.0"
