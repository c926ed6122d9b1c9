"""Base files as llama-perplexity writes them, from its source and by other means than the reader's."""

import struct

import numpy as np


def write_base(path, chunks, table):
    """Write a base file: `chunks` are lists of ids as tokenized, `table` [vocab, vocab] the logits after each id.

    Every chunk is fed its own ids. float32 throughout, as log_softmax of perplexity.cpp.
    """
    context, vocab = len(chunks[0]), table.shape[1]
    out = [b"_logits_", struct.pack("<iii", context, vocab, len(chunks))]
    out += [struct.pack(f"<{context}i", *chunk) for chunk in chunks]
    for chunk in chunks:
        for at in range(context // 2, context - 1):
            out.append(quantised(table[chunk[at]]))
    path.write_bytes(b"".join(out))


def quantised(logits):
    """Return one row: scale, least log-probability, uint16s, padded to an even count."""
    f = np.float32
    top = logits.max()
    low = max(logits.min(), top - f(16))
    log_sum = f(np.log(np.exp(logits - top).astype(np.float64).sum()))
    scale = f((top - low) / f(65535))
    inverse = f(1) / scale
    q = [int(np.rint(f(inverse * f(value - low)))) if value > low else 0 for value in logits]
    return struct.pack("<ff", scale, low - top - log_sum) + struct.pack(f"<{len(q)}H", *q) + b"\0\0" * (len(q) % 2)
