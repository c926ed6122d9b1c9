"""A SentencePiece model file made of its parts, and the few of its settings that are needed back.

    data = build([("<unk>", 0.0, 2), ("▁a", -1.0, 1)], Settings(byte_fallback=False))
    settings(data).dummy_prefix

The file is one protobuf message (sentencepiece's sentencepiece_model.proto: ModelProto with pieces 1, trainer_spec 2,
normalizer_spec 3). Written by hand, so that no protobuf package is needed for a dozen fields.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

BPE = 2
"""TrainerSpec.ModelType of byte-pair encoding."""

UNKNOWN = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Piece = tuple[str, float, int]
"""Spelling, score and type; the types are numbered as in GGUF's token_type."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides how a text becomes pieces, beside the pieces."""

    model_type: int = BPE
    byte_fallback: bool = True
    dummy_prefix: bool = True
    """Whether a space is put before a text."""
    remove_extra_whitespaces: bool = False
    has_charsmap: bool = False
    """Whether texts are normalised by a table, NFKC mostly."""


def build(pieces: Iterable[Piece], chosen: Settings) -> bytes:
    """Return the model file of `pieces`; raises ValueError where they lack the unknown piece."""
    pieces = list(pieces)
    unknown = next((index for index, piece in enumerate(pieces) if piece[2] == UNKNOWN), None)
    if unknown is None:
        raise ValueError("no token has the type 2 (unknown), which SentencePiece needs")
    trainer = (
        _number(3, chosen.model_type)
        + _number(4, len(pieces))
        + _number(35, chosen.byte_fallback)
        + _number(40, unknown)
        + _bytes(45, pieces[unknown][0].encode())
    )
    normalizer = (
        _bytes(1, b"identity")
        + _number(3, chosen.dummy_prefix)
        + _number(4, chosen.remove_extra_whitespaces)
        + _number(5, True)
    )
    return b"".join(map(_piece, pieces)) + _bytes(2, trainer) + _bytes(3, normalizer)


def settings(model: bytes) -> Settings:
    """Return the settings of a model file that the sentencepiece library has accepted."""
    specs: dict[int, dict[int, int | bytes]] = {2: {}, 3: {}}
    for field, value in _fields(model):
        if field in specs and isinstance(value, bytes):
            specs[field] |= dict(_fields(value))
    trainer, normalizer = specs[2], specs[3]
    # What a file leaves out has the default of sentencepiece_model.proto: unigram, and true for both of spaces.
    return Settings(
        model_type=int(trainer.get(3, 1)),
        byte_fallback=bool(trainer.get(35, 0)),
        dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        has_charsmap=bool(normalizer.get(2, b"")),
    )


def pieces(model: bytes) -> list[Piece]:
    """Return the pieces of a model file that the sentencepiece library has accepted."""
    found = [dict(_fields(value)) for field, value in _fields(model) if field == 1 and isinstance(value, bytes)]
    return [(_text(piece[1]), _float(piece.get(2, bytes(4))), int(piece.get(3, 1))) for piece in found]


def _text(value: int | bytes) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _float(value: int | bytes) -> float:
    return struct.unpack("<f", value)[0] if isinstance(value, bytes) else float(value)


def _piece(piece: Piece) -> bytes:
    text, score, kind = piece
    return _bytes(1, _bytes(1, text.encode()) + _key(2, _FIXED32) + struct.pack("<f", score) + _number(3, kind))


def _key(field: int, wire: int) -> bytes:
    return _varint(field << 3 | wire)


def _number(field: int, value: int) -> bytes:
    return _key(field, _VARINT) + _varint(int(value))


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield field number and value of each field of a message; fixed-width numbers as bytes."""
    position = 0
    while position < len(data):
        key, position = _take_varint(data, position)
        wire = key & 7
        if wire == _VARINT:
            value, position = _take_varint(data, position)
            yield key >> 3, value
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if length is None:
            length, position = _take_varint(data, position)
        yield key >> 3, data[position : position + length]
        position += length


def _take_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
