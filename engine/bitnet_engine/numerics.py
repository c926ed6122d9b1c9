"""How activations are rounded, and what the cache holds: the choices that change logits and that no model file makes.

    load("model.gguf", numerics="hf-bf16")
    load("model.gguf", cache="float16")

| name | computes as | linear layers |
|---|---|---|
| exact-int8 | bitnet.cpp, and transformers in float32 | int8 by row, int32 sums, one rescale |
| hf-bf16 | transformers in bfloat16, eager | int8 by row; results in bfloat16, as all else |
| llamacpp-q8k | llama.cpp and TQ1_0, TQ2_0 | Q8_K: int8 by block of 256, int32 sums in a block |
| float | mlx-lm; models trained without int8 | activations as they are, float32 |

docs/numerics.md tells how far apart they are. Knows names only; `linears` and `model` compute.
"""

from enum import StrEnum

from bitnet_engine.errors import SettingError


class Numerics(StrEnum):
    """A named way to round; the name goes into the stamp of every result."""

    EXACT_INT8 = "exact-int8"
    HF_BF16 = "hf-bf16"
    LLAMACPP_Q8K = "llamacpp-q8k"
    FLOAT = "float"

    @classmethod
    def named(cls, name: str) -> "Numerics":
        """Return the numerics of that name.

        Raises:
            SettingError: none is.
        """
        if name not in NAMES:
            raise SettingError(f"There are no numerics '{name}'. {', '.join(NAMES)} are allowed.")
        return cls(name)


NAMES = tuple(numerics.value for numerics in Numerics)


class CacheType(StrEnum):
    """What keys and values are kept in. float16, llama.cpp's default, rounds each once and halves what a step reads."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"

    @classmethod
    def named(cls, name: str) -> "CacheType":
        """Return the type of that name.

        Raises:
            SettingError: none is.
        """
        if name not in CACHE_TYPES:
            raise SettingError(f"There is no cache of type '{name}'. {', '.join(CACHE_TYPES)} are allowed.")
        return cls(name)


CACHE_TYPES = tuple(kind.value for kind in CacheType)
