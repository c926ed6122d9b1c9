"""The ternary inference engine: model files in, logits out.

    import bitnet_engine as engine

    engine.inspect("model.gguf")                       # headers only, no jax
    model = engine.load("model.gguf")                  # sniffs the format
    logits = model.logits(model.tokenizer.encode("The capital of France is"))

Axes, by the names that shapes are written in:

| axis | meaning |
|---|---|
| seq | positions of the tokens at hand |
| kv_seq | positions a cache has rows for |
| vocab | token ids |
| embed | the residual stream |
| heads, kv_heads | query heads; key and value heads, each shared by heads / kv_heads of them |
| head_dim | one head's features |
| ffn | the feed-forward block's inner features |
| layer | blocks, stacked |
| out, in | a matrix's rows and columns, as torch stores it |

Names are imported on first use, so that reading a header does not start jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitnet_engine.attending import KVCache
    from bitnet_engine.capturing import Captured, capture
    from bitnet_engine.config import Config
    from bitnet_engine.conversion import Conversion, convert
    from bitnet_engine.diffing import ModelDiff, diff
    from bitnet_engine.errors import BitnetError, CorpusError, FormatError, SettingError, StorageError, UnsupportedError
    from bitnet_engine.formats import Checkpoint, I2SLayout, QuantType, open_checkpoint
    from bitnet_engine.i2s_detection import detect_i2s_layout
    from bitnet_engine.inspection import inspect, tensor_stats, tensor_values
    from bitnet_engine.loading import load
    from bitnet_engine.model import Model
    from bitnet_engine.numerics import Numerics
    from bitnet_engine.packing import PackedTernary
    from bitnet_engine.pairs import open_pair
    from bitnet_engine.provenance import stamp
    from bitnet_engine.sampling import Sampler, generate, stream_text
    from bitnet_engine.scanning import scan_findings
    from bitnet_engine.tokenizer import Tokenizer, load_tokenizer

_HOMES = {
    "attending": ("KVCache",),
    "capturing": ("Captured", "capture"),
    "config": ("Config",),
    "conversion": ("Conversion", "convert"),
    "diffing": ("ModelDiff", "diff"),
    "errors": ("BitnetError", "CorpusError", "FormatError", "SettingError", "StorageError", "UnsupportedError"),
    "formats": ("Checkpoint", "I2SLayout", "QuantType", "open_checkpoint"),
    "i2s_detection": ("detect_i2s_layout",),
    "scanning": ("scan_findings",),
    "sampling": ("Sampler", "generate", "stream_text"),
    "inspection": ("inspect", "tensor_stats", "tensor_values"),
    "loading": ("load",),
    "model": ("Model",),
    "numerics": ("Numerics",),
    "packing": ("PackedTernary",),
    "pairs": ("open_pair",),
    "provenance": ("stamp",),
    "tokenizer": ("Tokenizer", "load_tokenizer"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: RUF022 - kept in the order of _HOMES, which a test compares
    "KVCache",
    "Captured",
    "capture",
    "Config",
    "Conversion",
    "convert",
    "ModelDiff",
    "diff",
    "BitnetError",
    "CorpusError",
    "FormatError",
    "SettingError",
    "StorageError",
    "UnsupportedError",
    "Checkpoint",
    "I2SLayout",
    "QuantType",
    "open_checkpoint",
    "detect_i2s_layout",
    "scan_findings",
    "Sampler",
    "generate",
    "stream_text",
    "inspect",
    "tensor_stats",
    "tensor_values",
    "load",
    "Model",
    "Numerics",
    "PackedTernary",
    "open_pair",
    "stamp",
    "Tokenizer",
    "load_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
