"""Every error a user can meet, each with the exit code it ends a command with.

    BitnetError            6  engine or environment
    ├── SettingError       2  a setting the user chose that is out of range
    ├── FormatError        3  a bad model file: wrong magic, truncated, contradictory, absent
    ├── CorpusError        3  a bad text file: absent, empty, not UTF-8
    ├── StorageError       4  I/O: permission, no space, a file that changed while it was read
    └── UnsupportedError   6  a sound file that this engine cannot run

The text of an error reads `FILE: what is wrong, where, what was allowed, what to do next`, one line.
"""


class BitnetError(Exception):
    """Root of the tree; caught at the edge of the program and printed as one line."""

    exit_code = 6


class SettingError(BitnetError):
    """A setting out of its range, or a name that is none of those allowed."""

    exit_code = 2


class FormatError(BitnetError):
    """A model file or folder that is not what it claims to be."""

    exit_code = 3


class CorpusError(BitnetError):
    """A text that cannot be scored."""

    exit_code = 3


class StorageError(BitnetError):
    """The file system refused, ran out of space, or changed a file under our hands."""

    exit_code = 4


class UnsupportedError(BitnetError):
    """A sound file that asks for something this engine does not compute."""

    exit_code = 6


BY_EXIT_CODE = {kind.exit_code: kind for kind in (BitnetError, SettingError, FormatError, StorageError)}
"""What to raise where a process of ours says its error and ends with that code."""
