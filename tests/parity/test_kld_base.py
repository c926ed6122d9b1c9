"""llama.cpp's base files: read to the bit, compared with what llama-perplexity computes of them, refused where bad."""

import struct

import numpy as np
import pytest

from bitnet_engine.errors import BitnetError, FormatError
from bitnet_parity import Gates, Verdict, compare
from bitnet_parity.kld_base import STEP, KldBase

from .fakes import BOS, VOCAB, Bigram, Bytes, noise
from .kld_files import write_base

CONTEXT, CHUNKS = 20, 22


@pytest.fixture(scope="module")
def table():
    """Logits after each id; one far down, as an id that a model rules out."""
    found = Bigram().logits(range(VOCAB)).copy()
    found[:, 3] = -40.0
    return found


@pytest.fixture(scope="module")
def chunks():
    """Chunks of one text, the first opened by BOS as llama.cpp's tokenizer does."""
    text = np.random.default_rng(5).integers(97, 123, CONTEXT * CHUNKS).tolist()
    text[0] = BOS
    return [text[i : i + CONTEXT] for i in range(0, len(text), CONTEXT)]


@pytest.fixture(scope="module")
def base(tmp_path_factory, chunks, table):
    """A base file of that text."""
    path = tmp_path_factory.mktemp("kld") / "base.kld"
    write_base(path, [[BOS, *chunk[1:]] for chunk in chunks], table)
    data = bytearray(path.read_bytes())
    # The file holds the ids as tokenized, not as fed.
    ids = [id for chunk in chunks for id in chunk]
    data[20 : 20 + 4 * len(ids)] = struct.pack(f"<{len(ids)}i", *ids)
    path.write_bytes(data)
    return path


class Table:
    """A model of that table, a little off where `by` says."""

    def __init__(self, table, by=0.0):
        self.table = (table + np.random.default_rng(9).normal(scale=by, size=table.shape)).astype(np.float32)

    def logits(self, tokens):
        return self.table[list(tokens)]


class Text(Bytes):
    """Bytes whose BOS is no text."""

    def decode(self, ids):
        return super().decode([id for id in ids if id != BOS])


def log_probs(row):
    row = row.astype(np.float64)
    return row - row.max() - np.log(np.exp(row - row.max()).sum())


def compared(base, candidate, profile="quantized"):
    opened = KldBase.open(base)
    return compare(
        reference=opened,
        candidate=candidate,
        reference_tokenizer=Bytes(),
        candidate_tokenizer=Bytes(),
        corpus=opened.corpus(BOS),
        gates=Gates.profile(profile),
        context=CONTEXT,
    )


def test_what_is_saved_is_read(base, table, chunks):
    """Red when a row, a chunk, the scale or the odd vocabulary's padding is off by one."""
    opened = KldBase.open(base)
    assert (opened.context, opened.vocab, opened.chunks, opened.first) == (CONTEXT, VOCAB, CHUNKS, CONTEXT // 2)
    for chunk in chunks:
        fed = [BOS, *chunk[1:]]
        found = opened.logits(fed)
        assert np.isnan(found[: CONTEXT // 2]).all()
        assert np.isnan(found[-1]).all()
        for at in range(CONTEXT // 2, CONTEXT - 1):
            expected = log_probs(table[fed[at]])
            kept = expected > expected.max() - 16
            # The step is at most STEP; float32 adds a little.
            assert np.abs(found[at] - expected)[kept].max() <= STEP / 2 + 4e-6
            assert found[at, 3] <= expected.max() - 16 + STEP
            assert np.exp(found[at].astype(np.float64)).sum() == pytest.approx(1, abs=2e-4)


def test_the_model_that_made_it_agrees_within_the_stored_precision(base, table):
    """Red when windows, BOS or targets are shifted: then nothing agrees."""
    report = compared(base, Table(table), "fp32")
    assert report.metrics["tokens"] == CHUNKS * (CONTEXT - 1 - CONTEXT // 2)
    assert report.judgement.verdict is Verdict.PASS
    assert report.metrics["kl"]["max"] < 1e-6
    assert abs(report.metrics["delta_mean_nll"]["estimate"]) < STEP
    assert [row.name for row in report.documents][:2] == ["chunk 0000", "chunk 0001"]


def test_numbers_are_those_of_llama_cpp(base, table, chunks):
    """Red when mean KLD and mean nll are not what llama-perplexity prints for this file and candidate."""
    candidate = Table(table, by=0.5)
    report = compared(base, candidate)
    kld, nll, nll_base = [], [], []
    data = base.read_bytes()
    rows = iter(range(20 + 4 * CONTEXT * CHUNKS, len(data), 2 * (2 * ((VOCAB + 1) // 2) + 4)))
    for chunk in chunks:
        for at in range(CONTEXT // 2, CONTEXT - 1):
            start = next(rows)
            scale, least = struct.unpack_from("<ff", data, start)
            p_log = scale * np.frombuffer(data, "<u2", VOCAB, start + 8).astype(np.float64) + least
            q_log, target = log_probs(candidate.table[chunk[at]]), chunk[at + 1]
            seen = p_log > -16
            kld.append((np.exp(p_log) * (p_log - q_log))[seen].sum())
            nll.append(-q_log[target])
            nll_base.append(-p_log[target])
    assert report.metrics["kl"]["mean"] == pytest.approx(np.mean(kld), abs=2e-5)
    assert report.metrics["mean_nll_candidate"] == pytest.approx(np.mean(nll), abs=1e-9)
    assert report.metrics["mean_nll_reference"] == pytest.approx(np.mean(nll_base), abs=2e-5)


def test_the_tokenizer_is_tested_on_the_text_of_the_file(base):
    """Red when a base file, which carries no tokenizer, passes the tokenizer gate untested."""
    opened = KldBase.open(base)
    corpus = opened.corpus(BOS)
    assert corpus.check(Text()).equal == CHUNKS
    other = corpus.check(Text(spell=lambda text: text.replace("q", "k")))
    assert other.equal < CHUNKS
    assert other.first_difference is not None
    assert other.first_difference.string.startswith("chunk ")
    assert other.first_difference.ids_reference[0] == ord("q")
    assert other.first_difference.ids_candidate[0] == ord("k")


def test_max_tokens_cuts_chunks(base, table):
    """Red when a cut chunk is no longer found, or its unsaved half is scored."""
    opened = KldBase.open(base)
    report = compare(
        reference=opened,
        candidate=Table(table),
        reference_tokenizer=Bytes(),
        candidate_tokenizer=Bytes(),
        corpus=opened.corpus(BOS),
        gates=Gates.profile("quantized"),
        context=CONTEXT,
        max_tokens=2 * CHUNKS,
    )
    assert (report.metrics["tokens"], report.metrics["nll_undefined"]) == (2 * CHUNKS, 0)


def test_other_ids_are_refused(base):
    """Red when a base file answers for a text it was not made from."""
    with pytest.raises(BitnetError, match=r"base\.kld: holds no log-probabilities for these 5 tokens"):
        KldBase.open(base).logits([BOS, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "it begins with nothing"),
        (lambda data: b"GGUF" + data[4:], "it begins with 47 47 55 46"),
        (lambda data: data[:-2], "truncated"),
        (lambda data: data + b"\0", "too long"),
        (lambda data: data[:8] + struct.pack("<iii", 2**31 - 1, 2**31 - 1, 2**31 - 1) + data[20:], "truncated"),
        (lambda data: data[:8] + struct.pack("<iii", -1, 5, 5) + data[20:], "declares n_ctx -1"),
        (lambda data: data[:24] + struct.pack("<i", 99999) + data[28:], "token 99999 is outside its vocabulary"),
    ],
)
def test_a_bad_file_is_one_line(base, tmp_path, change, message):
    """Red when a declared number is trusted before it is compared with the file's length."""
    (tmp_path / "bad.kld").write_bytes(change(base.read_bytes()))
    with pytest.raises(FormatError, match=message):
        KldBase.open(tmp_path / "bad.kld")


def test_a_candidate_that_differs_fails(base, table):
    """Red when the precision of the file hides a real difference."""
    assert compared(base, Bigram(noise(2.0)), "fp32").judgement.verdict is Verdict.FAIL
