"""This engine under measurement: a model loaded, and an operation for each case.

    engine = Ours.load(path, Settings(), used=2)
    engine.started                                    # Started(load_seconds=…, resident_bytes=…, …)
    engine.operation(Case("decode", position=64)).run()

Caches hold noise, so that a position costs nothing to reach. Knows no rounds and no report.
"""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bitnet_engine import kernels
from bitnet_engine.attending import KVCache
from bitnet_engine.bench import parts, probes
from bitnet_engine.bench.cases import ROOM, SEED, Case, Settings, prompt
from bitnet_engine.bench.machine import resident_bytes
from bitnet_engine.bench.subject import Facts, Started
from bitnet_engine.bench.timing import Operation
from bitnet_engine.formats import I2SLayout
from bitnet_engine.loading import load
from bitnet_engine.model import Model
from bitnet_engine.packing import PackedTernary, pack
from bitnet_engine.provenance import stamp

_CHUNK = 1 << 22


class Ours:
    """A loaded model and the operations of its cases. `stamp` is that of this process."""

    def __init__(self, model: Model, started: Started, file_bytes: int, settings: Settings, used: int) -> None:
        self._model, self._settings, self._used = model, settings, used
        self.started, self.facts = started, _facts(model, file_bytes)
        self.stamp = stamp(numerics=model.numerics.value, cache=model.cache.value)
        self._random = np.random.default_rng(SEED)

    @classmethod
    def load(
        cls, path: str, settings: Settings, used: int, numerics: str, cache: str, reading: dict[str, str | None]
    ) -> "Ours":
        """Load the model at `path`, and time it.

        Raises:
            BitnetError: it cannot be loaded.
        """
        files, layout, config = _files(Path(path)), reading["i2s_layout"], reading["kernel_config"]
        _read(files)  # from now on they are in the page cache
        file_seconds = _timed(lambda: _read(files))[0]
        begun = time.perf_counter()
        model = load(
            path,
            numerics,
            cache=cache,
            i2s_layout=None if layout is None else I2SLayout(layout),
            kernel_config=None if config is None else Path(config),
        )
        jax.block_until_ready(model.weights)
        loaded, resident = time.perf_counter() - begun, resident_bytes()
        started = _start(model, file_seconds, loaded, None if resident is None else resident[0])
        return cls(model, started, sum(file.stat().st_size for file in files), settings, used)

    def operation(self, case: Case) -> Operation:
        """Return the operation of a case; it may take memory for as long as it lives."""
        makers = {
            "read": lambda: probes.plain_reader(self.facts.body_bytes, self._used),
            "peak": lambda: probes.peak(case.unit, self._used),
            "decode": lambda: self._decode(case),
            "prefill": lambda: self._prefill(case),
            "ttft": lambda: self._prefill(case),
            "body": lambda: self._body(case),
            "attention": lambda: self._attention(case),
            "head": self._head,
            "norms": self._norms,
            "fallback": lambda: self._one_row(case),
            "int8-dot": lambda: self._one_row(case),
        }
        return makers[case.kind]()

    def _decode(self, case: Case) -> Operation:
        length = self._room(case)
        caches = [self._noise_cache(length, case.position) for _ in range(case.batch)]
        made, room = 0, min(ROOM, length - case.position)

        def run() -> None:
            nonlocal made
            if made == room:
                made, caches[:] = 0, [replace(cache, length=jnp.int32(case.position)) for cache in caches]
            for i, cache in enumerate(caches):
                logits, caches[i] = self._model.decode(SEED, cache)
                logits.block_until_ready()
            made += 1

        facts = self.facts
        rows = facts.cache_bytes_per_position * case.position * case.batch
        # A batched engine would read the weights once for all sequences; the limit is that of the best.
        return Operation(run, tokens=case.batch, bytes=float(facts.body_bytes + facts.head_bytes + rows))

    def _prefill(self, case: Case) -> Operation:
        ids = prompt(self._model.config.vocab, case.rows)

        def run() -> None:
            logits, cache = self._model.prefill(ids, max_len=case.rows)
            if case.kind == "ttft":
                int(np.argmax(np.asarray(logits)))
            jax.block_until_ready((logits, cache))

        size = float(self.facts.body_bytes + self.facts.head_bytes)
        return Operation(run, tokens=case.rows, bytes=size, operations=self._products(case.rows))

    def _body(self, case: Case) -> Operation:
        model, inputs = self._model, self._inputs(case.rows)

        def run() -> None:
            parts.body(model.config, model.numerics, model.weights.layers, inputs).block_until_ready()

        return Operation(run, bytes=float(self.facts.body_bytes), operations=self._products(case.rows))

    def _attention(self, case: Case) -> Operation:
        model, c = self._model, self._model.config
        cache = self._noise_cache(self._room(case), case.position)
        q, *rows = (self._noise(1, heads, c.head_dim) for heads in (c.heads, c.kv_heads, c.kv_heads))

        def run() -> None:
            nonlocal cache
            done, cache = parts.attention(c, model.numerics, q, (rows[0], rows[1]), cache)
            done.block_until_ready()

        return Operation(run, bytes=float(self.facts.cache_bytes_per_position * case.position))

    def _head(self) -> Operation:
        model, hidden = self._model, self._noise(1, self._model.config.embed)

        def run() -> None:
            parts.logits(model.config, model.numerics, model.weights, hidden).block_until_ready()

        return Operation(run, bytes=float(self.facts.head_bytes))

    def _norms(self) -> Operation:
        model, inputs = self._model, self._inputs(1)

        def run() -> None:
            parts.norms(model.config, model.numerics, model.weights.layers, inputs).block_until_ready()

        return Operation(run)

    def _one_row(self, case: Case) -> Operation:
        # Random, not the model's: a model in the kernel's tiles would have to be unpacked.
        c, random = self._model.config, np.random.default_rng(SEED)
        trits = random.integers(-1, 2, (c.ffn, c.embed), np.int8)
        q = jnp.asarray(random.integers(-127, 128, (1, c.embed), np.int8))
        if case.kind == "int8-dot":
            dense = jnp.asarray(trits)
            return Operation(lambda: parts.int8_dot(q, dense).block_until_ready(), bytes=float(trits.nbytes))
        packed = PackedTernary(jnp.asarray(pack(trits)), jnp.float32(1), c.embed)
        return Operation(lambda: parts.fallback(q, packed).block_until_ready(), bytes=float(packed.codes.nbytes))

    def _room(self, case: Case) -> int:
        """Return the rows of a case's cache: as many for all positions, so that they differ in nothing else."""
        # A batch has a cache each, and needs no more than its own position.
        top = self._settings.positions if case.batch == 1 else ()
        return min(self.facts.max_positions, max((*top, case.position)) + ROOM)

    def _products(self, rows: int) -> float:
        # Only of bytes: what a dense matrix costs is not measured by the units' peaks.
        return 2.0 * rows * self.facts.ternary_weights

    def _inputs(self, rows: int) -> dict[int, jax.Array]:
        c = self._model.config
        return {width: self._noise(rows, width) for width in {*parts.widths(self._model.weights.layers), c.embed}}

    def _noise(self, *shape: int) -> jax.Array:
        return jnp.asarray(self._random.standard_normal(shape, np.float32))

    def _noise_cache(self, length: int, filled: int) -> KVCache:
        some = self._random.standard_normal(1 << 16, np.float32)
        empty = KVCache.empty(self._model.config, length, self._model.cache)
        return replace(_filled(empty, jnp.asarray(some)), length=jnp.int32(filled))


@partial(jax.jit, donate_argnames="cache")
def _filled(cache: KVCache, noise: jax.Array) -> KVCache:
    # Into the memory that the engine itself would use: its pages are a part of what is measured.
    return jax.tree.map(lambda x: x + jnp.resize(noise, x.shape).astype(x.dtype) if x.ndim else x, cache)


def _facts(model: Model, file_bytes: int) -> Facts:
    table = model.weights.token_embd if model.weights.output is None else model.weights.output
    matrices, c = model.weights.layers.linears(), model.config
    ternary = {part: matrix for part, matrix in matrices.items() if isinstance(matrix, PackedTernary)}
    outs = {part: shape[0] for part, shape in c.block_shapes().items()}
    return Facts(
        layers=c.layers,
        max_positions=c.max_positions,
        ternary_weights=c.layers * sum(outs[part] * matrix.features for part, matrix in ternary.items()),
        body_bytes=sum(int(leaf.nbytes) for leaf in jax.tree.leaves(matrices) if leaf.ndim > 1),
        head_bytes=int(table.nbytes),
        head_type=str(table.dtype),
        cache_bytes_per_position=_cache_bytes(model),
        file_bytes=file_bytes,
        kernel=kernels.backend().describe(),
        units=probes.units(),
    )


def _cache_bytes(model: Model) -> int:
    cache = jax.eval_shape(lambda: KVCache.empty(model.config, 1, model.cache))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(cache) if leaf.ndim)


def _start(model: Model, file_seconds: float, load_seconds: float, resident: int | None) -> Started:
    ids = prompt(model.config.vocab, min(32, model.config.max_positions - 1))

    def prefill() -> KVCache:
        return jax.block_until_ready(model.prefill(ids, max_len=len(ids) + 1))[1]

    def decode(cache: KVCache) -> None:
        jax.block_until_ready(model.decode(SEED, cache))

    first, cache = _timed(prefill)
    first_decode = _timed(lambda: decode(cache))[0]
    again, cache = _timed(prefill)
    again_decode = _timed(lambda: decode(cache))[0]
    peak = resident_bytes()
    return Started(
        file_seconds=file_seconds,
        load_seconds=load_seconds,
        compile_seconds=max(0.0, first + first_decode - again - again_decode),
        first_token_seconds=load_seconds + first,
        resident_bytes=resident,
        peak_bytes=None if peak is None else peak[1],
        clock_mhz=probes.clock_mhz(),
    )


def _timed(work: Any) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.safetensors")) if path.is_dir() else [path]


def _read(files: list[Path]) -> None:
    for path in files:
        with open(path, "rb", buffering=0) as stream:
            while stream.read(_CHUNK):
                pass
