"""A byte-level BPE tokenizer of any size over made-up words, as GGUF's keys and as tokenizer.json's object.

    gguf_keys(128_256)                   # as many tokens and merges as the official 2B-4T file has
    tokenizer(128_256).to_str()

Bytes, then words of two to four letters, then 256 special tokens, the first of them BOS. Splits as Llama 3 does. Both
forms give the same ids. Knows no model.
"""

from itertools import islice, product
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from bitnet_engine.formats import Array
from bitnet_engine.tokenizer_gguf import CONTROL, LLAMA3, NORMAL

MERGES = 280_147
"""At most so many, as the official GGUF file has (docs/formats.md §2.10)."""
SPECIALS = 256
LETTERS = "etaoinshrdlcumwfgypbvkjxqz'-,.ET"
"""Each a byte of its own."""


def vocabulary(size: int) -> tuple[list[str], list[str]]:
    """Return `size` tokens by id, and merges by rank: a word has one for each place it can be cut at.

    Raises:
        ValueError: `size` leaves no room for bytes and special tokens, or is more than there are words.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ("".join(word) for length in (2, 3, 4) for word in product(LETTERS, repeat=length))
    own = list(islice(words, max(0, size - SPECIALS - len(alphabet))))
    specials = ["<|begin_of_text|>", "<|end_of_text|>", *(f"<|reserved_{n}|>" for n in range(SPECIALS - 2))]
    tokens = [*alphabet, *own, *specials]
    if len(tokens) != size:
        raise ValueError(f"a vocabulary of {size} cannot be made; {SPECIALS + 256} to over a million are allowed")
    # Shorter words come first, so that both halves of a merge exist.
    cuts = (f"{word[:at]} {word[at:]}" for word in own for at in range(1, len(word)))
    return tokens, list(islice(cuts, MERGES))


def gguf_keys(size: int) -> dict[str, Any]:
    """Return GGUF's keys for a vocabulary of `size`; raises as `vocabulary`."""
    tokens, merges = vocabulary(size)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Array("i32", [NORMAL] * (size - SPECIALS) + [CONTROL] * SPECIALS),
        "tokenizer.ggml.merges": Array("str", merges),
        "tokenizer.ggml.bos_token_id": size - SPECIALS,
        "tokenizer.ggml.eos_token_id": size - SPECIALS + 1,
        "tokenizer.ggml.add_bos_token": True,
    }


def tokenizer(size: int) -> tokenizers.Tokenizer:
    """Return the tokenizer of a vocabulary of `size`; raises as `vocabulary`."""
    tokens, merges = vocabulary(size)
    vocab = {token: index for index, token in enumerate(tokens)}
    pairs = [(first, second) for first, second in (merge.split(" ") for merge in merges)]
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=True))
    split = pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated")
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([split, level])
    made.decoder = decoders.ByteLevel()
    made.add_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in tokens[-SPECIALS:]])
    bos = tokens[-SPECIALS]
    made.post_processor = processors.TemplateProcessing(
        single=[bos, "$A"], pair=[bos, "$A", "$B"], special_tokens=[(bos, vocab[bos])]
    )
    return made
