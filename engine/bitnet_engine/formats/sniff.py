"""What a file is, by its first bytes; the name's extension only ever earns a finding.

    sniff(source)         # "gguf" or "safetensors"; else a FormatError that says what it is instead

Nothing is executed or unpacked to find out: a pickle is recognised by its first byte and left alone.
"""

from typing import Literal

from bitnet_engine.errors import FormatError
from bitnet_engine.formats.cursor import SourceFile
from bitnet_engine.formats.types import Finding

Format = Literal["gguf", "safetensors"]

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip data: unpack it first"),
    (
        b"PK\x03\x04",
        "a zip archive, as PyTorch's .bin and .pt are: convert it to SafeTensors where it came from",
    ),
    (b"\x28\xb5\x2f\xfd", "zstd data: unpack it first"),
    (b"\xfd7zXZ\0", "xz data: unpack it first"),
    (b"BZh", "bzip2 data: unpack it first"),
    (b"\x80\x02", "a Python pickle, which is never loaded: convert it to SafeTensors where it came from"),
    (b"\x80\x03", "a Python pickle, which is never loaded: convert it to SafeTensors where it came from"),
    (b"\x80\x04", "a Python pickle, which is never loaded: convert it to SafeTensors where it came from"),
    (b"\x80\x05", "a Python pickle, which is never loaded: convert it to SafeTensors where it came from"),
    (b"\x93NUMPY", "a numpy array: save it as SafeTensors"),
    (b"\x89HDF", "an HDF5 file: save it as SafeTensors"),
    (b"lmgg", "ggml of before August 2023: convert the model again, to GGUF"),
    (b"fmgg", "ggmf of before August 2023: convert the model again, to GGUF"),
    (b"tjgg", "ggjt of before August 2023: convert the model again, to GGUF"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: run git lfs pull"),
    (b"<", "a web page, not a model: fetch the file itself"),
    (b"{", "JSON: pass the folder that holds it"),
    (bytes(16), "zeros, an unfinished download: fetch the file again"),
)

_EXTENSIONS: dict[str, Format | None] = {
    ".gguf": "gguf",
    ".safetensors": "safetensors",
    ".bin": None,
    ".pt": None,
    ".pth": None,
    ".ckpt": None,
}
"""What a file of that name should be; None: a format that is not read here."""


def sniff(source: SourceFile) -> Format:
    """Return the format of a file.

    Raises:
        FormatError: it is empty, too short, or neither GGUF nor SafeTensors.
    """
    head = source.read(0, min(source.size, 24))
    if not head:
        raise FormatError(f"{source.path}: is empty (0 bytes); fetch the file again")
    if head.startswith(b"GGUF"):
        return "gguf"
    guess = next((f"this looks like {text}" for magic, text in _OTHERS if head.startswith(magic)), None)
    # A length, then JSON. Any length may begin like another format's magic, so one that fits goes first;
    # one that does not is left to the reader, which can say what is wrong with it.
    fits = int.from_bytes(head[:8], "little") <= source.size - 8
    if head[8:9] == b"{" and (fits or guess is None):
        return "safetensors"
    if len(head) < 8:
        raise FormatError(
            f"{source.path}: has {len(head)} bytes ({head.hex(' ')}); the shortest model file has 10: "
            f"fetch the file again"
        )
    raise FormatError(
        f"{source.path}: is neither GGUF nor SafeTensors: expected 47 47 55 46 ('GGUF') at byte 0 or "
        f"7b ('{{') at byte 8, found {head[:16].hex(' ')}; {guess or 'check where the file came from'}"
    )


def extension_finding(source: SourceFile, found: Format) -> list[Finding]:
    """Return a warning where the file's name claims another format than its bytes."""
    suffix = source.path.suffix.lower()
    if suffix not in _EXTENSIONS or _EXTENSIONS[suffix] == found:
        return []
    message = f"is named {suffix} and holds {found}; the bytes decide"
    return [Finding("extension", "warning", source.path.name, message, f"rename it to end in .{found}")]
