"""llama.cpp under measurement, through llama-cpp-python (the [llama] extra): the peer of `ours`.

    engine = Llama.load("model-tq2_0.gguf", Settings(), used=2)
    engine.operation(Case("decode", position=64)).run()

Its C functions are called as its own tools call them: no text, no copies of logits, its default types of the cache.
Prompts are the same ids as ours.
"""

import importlib
from typing import Any

from bitnet_engine.bench.cases import ROOM, SEED, Case, Settings, prompt
from bitnet_engine.bench.timing import Operation
from bitnet_engine.errors import BitnetError

MISSING = "llama-cpp-python is not installed; pip install 'bitnet-tui[llama]', or leave --peers out"


class Llama:
    """A GGUF file in llama.cpp."""

    def __init__(self, package: Any, model: Any, facts: dict[str, Any]) -> None:
        self._api, self._model, self.facts = package, model, facts
        self._vocab = model.n_vocab()

    @classmethod
    def load(cls, path: str, settings: Settings, used: int) -> "Llama":
        """Load the file at `path`.

        Raises:
            BitnetError: the package is not installed, or llama.cpp cannot load the file.
        """
        try:
            package = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise BitnetError(MISSING) from error
        length = max(*settings.prompts, settings.positions[0] + ROOM)
        options = {"n_ctx": length, "n_batch": length, "n_ubatch": max(settings.prompts), "logits_all": False}
        try:
            model = package.Llama(model_path=path, n_threads=used, n_threads_batch=used, verbose=False, **options)
        except Exception as error:
            raise BitnetError(
                f"{path}: llama.cpp cannot load it ({' '.join(str(error).split())}). It knows GGUF with TQ1_0 or TQ2_0 "
                f"matrices and architecture bitnet or llama, among others; leave --peers out for this file."
            ) from error
        system = package.llama_print_system_info().decode(errors="replace").strip()
        return cls(package, model, {"version": f"llama-cpp-python {package.__version__}", "system": system})

    def operation(self, case: Case) -> Operation:
        """Return the operation of a case, decode or prefill."""
        return self._decode(case) if case.kind == "decode" else self._prefill(case)

    def _prefill(self, case: Case) -> Operation:
        ids = prompt(self._vocab, case.rows)

        def run() -> None:
            self._rewind(0)
            self._eval(ids)

        return Operation(run, tokens=case.rows)

    def _decode(self, case: Case) -> Operation:
        filled = False

        def prepare() -> None:
            nonlocal filled
            self._rewind(case.position if filled else 0)
            if not filled:
                self._eval(prompt(self._vocab, case.position))
                filled = True

        return Operation(lambda: self._eval([SEED]), tokens=1, prepare=prepare, most=ROOM)

    def _rewind(self, position: int) -> None:
        context = self._model.ctx
        self._api.llama_memory_seq_rm(self._api.llama_get_memory(context), 0, position, -1)

    def _eval(self, tokens: list[int]) -> None:
        ids = (self._api.llama_token * len(tokens))(*tokens)
        if self._api.llama_decode(self._model.ctx, self._api.llama_batch_get_one(ids, len(tokens))):
            raise BitnetError(f"llama.cpp could not run {len(tokens)} tokens; --peers cannot measure it.")
        # Its logits are there, on the host, when it has caught up.
        self._api.llama_synchronize(self._model.ctx)
