"""Faults of trits: the codes of a matrix are wrong, misread, moved or lost, its scale is right.

Where an engine reads right bytes wrongly, the fault is what it then computes with: trits that another layout, another
shift or another order makes of them.
"""

from collections.abc import Callable

import numpy as np

from bitnet_engine.errors import SettingError
from bitnet_engine.formats import I2SLayout, Trits
from bitnet_engine.formats.ternary import pack_i2_s, unpack_i2_s
from bitnet_engine.naming import PROJECTIONS
from bitnet_parity.faults.draft import Draft, Place, split
from bitnet_parity.faults.fault import MEMORY, NUMPY, TWO_BIT, Fault, Fingerprint

CODE_3 = 2
"""The value that the fourth code unpacks to where nobody refuses it."""
QK256 = np.array([-2, -1, 1, 2], np.int8)
"""What BitNet-rs' "QK256" takes the codes 0 to 3 for."""

Change = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, tuple[int, ...], str]]
"""int8 trits [out, in], which are its own to change → other ones, the rows that changed (none: all), and words."""


def _codes(change: Change, *parts: str) -> Callable[[Draft], Place]:
    """Return a fault that changes the trits of each chosen matrix."""

    def apply(draft: Draft) -> Place:
        places = []
        for name in draft.matrices(*parts):
            matrix = draft.tensors.trits(name)
            values, rows, detail = change(matrix.values.copy(), draft.random)
            draft.tensors[name] = Trits(values.astype(np.int8), matrix.scale)
            places.append(Place(*split(name), name, rows, detail))
        if len(places) == 1:
            return places[0]
        return Place(None, (parts or PROJECTIONS)[0], None, (), f"in all {len(places)} matrices, each at its own place")

    return apply


def _some_rows(count: int, random: np.random.Generator) -> tuple[int, ...]:
    chosen = random.choice(count, max(1, count // 16), replace=False)
    return tuple(sorted(int(row) for row in chosen))


def _rows_set(value: int) -> Change:
    def change(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
        rows = _some_rows(len(trits), random)
        trits[list(rows)] = value
        return trits, rows, f"{len(rows)} rows are all {value}"

    return change


def _rows_flipped(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    rows = _some_rows(len(trits), random)
    trits[list(rows)] *= -1
    return trits, rows, f"{len(rows)} rows have their signs turned"


def _columns_zero(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    columns = _some_rows(trits.shape[1], random)
    trits[:, list(columns)] = 0
    return trits, (), f"columns {columns[0]} to {columns[-1]}, {len(columns)} of them, are zero"


def _flipped(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:  # noqa: ARG001
    return -trits, (), "all signs are turned"


def _code_3(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    row, columns = int(random.integers(len(trits))), random.choice(trits.shape[1], 4, replace=False)
    trits[row, columns] = CODE_3
    return trits, (row,), f"row {row} holds code 3 four times, which reads as +2"


def _bit(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    row, column = (int(random.integers(size)) for size in trits.shape)
    # One bit of a two-bit code, but never the one that would make code 3 of it: 00 → 01 or 10, 01 → 00, 10 → 00.
    before = int(trits[row, column])
    trits[row, column] = int(random.choice([0, 1])) if before == -1 else -1
    return trits, (row,), f"row {row}, column {column}: {before} became {trits[row, column]}"


def _noise(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    lost = random.random(trits.shape) < 1 / 64
    trits[lost] = 0
    return trits, (), "one weight in 64 is zero"


def _as_layout(layout: I2SLayout) -> Change:
    def change(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:  # noqa: ARG001
        rows, columns = trits.shape
        _need_blocks(columns)
        return unpack_i2_s(pack_i2_s(trits, 1.0, layout), (rows, columns)).values, (), f"layout {layout} read as A"

    return change


def _lowest_bits_first(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:  # noqa: ARG001
    _need_blocks(trits.shape[1])
    codes = np.frombuffer(pack_i2_s(trits, 1.0), np.uint8, trits.size // 4)
    fields = codes[:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
    return QK256[fields].reshape(trits.shape), (), "four neighbours a byte, lowest bits first, as −2, −1, 1, 2"


def _need_blocks(columns: int) -> None:
    if columns % 128:
        raise SettingError(f"Rows of {columns} are no multiple of 128, so the matrix cannot have been I2_S.")


def _values(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:  # noqa: ARG001
    return trits + 1, (), "codes 0, 1, 2 are taken for the weights"


def _transposed(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:  # noqa: ARG001
    return trits.T, (), "the square matrix is transposed"


def _rows_moved(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    rows = sorted(int(row) for row in random.choice(len(trits), 8, replace=False))
    trits[rows] = trits[rows[1:] + rows[:1]]
    return trits, tuple(rows), f"a cycle of rows: {' → '.join(map(str, [*rows, rows[0]]))}"


def _chunk(trits: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, tuple[int, ...], str]:
    size = max(1, len(trits) // 8)
    at, source = (int(start) * size for start in random.choice(8, 2, replace=False))
    trits[at : at + size] = trits[source : source + size].copy()
    return trits, tuple(range(at, at + size)), f"rows {at} to {at + size - 1} hold those from {source} on"


def _square(draft: Draft) -> Place:
    shapes = {part: draft.tensors.trits(f"blk.0.{part}.weight").values.shape for part in PROJECTIONS}
    square = [part for part, shape in shapes.items() if shape[0] == shape[1]]
    if not square:
        raise SettingError("No matrix of the model is square; choose another fault.")
    return _codes(_transposed, *square)(draft)


def _fault(name: str, summary: str, apply: Callable[[Draft], Place], **more: object) -> Fault:
    fields: dict[str, object] = {"where": "any ternary matrix"} | more
    return Fault(name=name, summary=summary, kind="codes", apply=apply, **fields)  # pyright: ignore[reportArgumentType]


FAULTS = (
    _fault("rows-zero", "some rows were never written", _codes(_rows_set(0)), fingerprint=Fingerprint.FEW),
    _fault(
        "rows-minus-one",
        "some rows are zero bytes, which read as −1",
        _codes(_rows_set(-1)),
        bugs=(18,),
        fingerprint=Fingerprint.FEW,
    ),
    _fault("columns-zero", "some input channels are cut off", _codes(_columns_zero), fingerprint=Fingerprint.FEW),
    _fault("rows-sign-flipped", "rows with their signs turned", _codes(_rows_flipped), fingerprint=Fingerprint.FEW),
    _fault("signs-flipped", "every trit has its sign turned", _codes(_flipped), fingerprint=Fingerprint.GAIN),
    _fault(
        "code-3",
        "the fourth code, which no quantiser writes, read as +2",
        _codes(_code_3),
        bugs=(5,),
        fingerprint=Fingerprint.FEW,
        storages=TWO_BIT,
        refused=TWO_BIT,
    ),
    _fault("bit-flipped", "one bit of the packed codes", _codes(_bit), fingerprint=Fingerprint.FEW),
    _fault("trits-dropped", "one weight in 64 became zero", _codes(_noise)),
    _fault("i2s-layout-b", "I2_S of ARM's layout read as x86's", _codes(_as_layout(I2SLayout.B)), bugs=(4,)),
    _fault("i2s-layout-c", "I2_S of four rows a byte read as 128 a block", _codes(_as_layout(I2SLayout.C)), bugs=(4,)),
    _fault("i2s-lowest-first", "I2_S read as BitNet-rs' QK256", _codes(_lowest_bits_first), bugs=(23,), targets=NUMPY),
    _fault("codes-as-values", "codes 0, 1, 2 taken for weights", _codes(_values), bugs=(17,), targets=MEMORY),
    _fault("transposed", "a square matrix is transposed", _square),
    _fault("rows-permuted", "rows in another order", _codes(_rows_moved), fingerprint=Fingerprint.PERMUTATION),
    _fault(
        "chunk-misplaced",
        "a quantiser's thread wrote its rows where another's belong",
        _codes(_chunk),
        bugs=(8,),
        fingerprint=Fingerprint.FEW,
    ),
)
"""In the order of docs/diagnose.md."""
