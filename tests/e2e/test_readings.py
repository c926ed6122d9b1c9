"""What no file states, given on the command line: the layout of I2_S and the tiles of TL1, through every command."""

import json

import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine.formats import I2SLayout, OutTensor, QuantType, write_gguf
from bitnet_engine.formats.ternary import pack_i2_s
from tests.e2e.program import run

TL1 = 38


@pytest.fixture(scope="module")
def arm(tmp_path_factory, i2_s):
    """The sample as a build for ARM writes it: I2_S in layout B."""
    path = tmp_path_factory.mktemp("arm") / "arm.gguf"
    with engine.open_checkpoint(i2_s) as source:

        def data(name):
            if source.info(name).type is not QuantType.I2_S:
                return source.read_bytes(name)
            trits = source.read_ternary(name)
            return pack_i2_s(trits.values, float(trits.scale), I2SLayout.B)

        tensors = [OutTensor(t.name, t.type, t.shape, lambda t=t: data(t.name)) for t in source.tensors.values()]
        write_gguf(path, source.metadata, tensors)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "a.txt"
    path.write_text("The people of the United States elect a president. " * 3)
    return path


def test_parity_finds_the_layout_and_says_so(packed, arm, corpus):
    """Red when a sound file of another build fails parity, or nobody is told in which layout it was read."""
    done = run("parity", packed, arm, "--corpus", corpus, "--max-tokens", "20")
    assert "nll is equal bit for bit" in done.stdout
    assert "            I2_S layout B, detected (share of equal codes in " in done.stdout
    assert "the candidate is read as I2_S layout B, detected" in done.stderr
    wrong = ("--candidate-i2s-layout", "A", "--json")
    report = json.loads(run("parity", packed, arm, "--corpus", corpus, "--max-tokens", "20", *wrong).stdout)
    assert report["reference"]["reading"]["i2s_layout"] is None
    assert report["candidate"]["reading"] == {
        "i2s_layout": "A",
        "i2s_basis": "given",
        "i2s_evidence": "",
        "kernel_config": None,
        "kernel_config_sha256": None,
    }
    assert report["metrics"]["nll_unequal"] > 0


def test_the_layout_reaches_every_command(packed, arm, corpus, tmp_path):
    """Red when one command takes the option and reads the file as before."""
    told = ("--i2s-layout", "B")
    assert "  I2_S layout A, assumed; no file states it\n" in run("info", arm).stdout
    assert "  I2_S layout B, given\n" in run("info", arm, *told).stdout
    assert "  I2_S layout B, given\n" in run(arm, *told, "--export", tmp_path / "out").stdout
    assert run("diff", packed, arm).returncode == 0
    assert run("diff", packed, arm, "--candidate-i2s-layout", "C").returncode == 1
    done = run("convert", arm, tmp_path / "tq2.gguf", "--type", "TQ2_0", *told)
    assert "  source: I2_S layout B, given" in done.stdout
    assert "IDENTICAL" in run("diff", packed, tmp_path / "tq2.gguf").stdout
    scored = run("eval", arm, "--corpus", corpus, *told)
    assert "read as     I2_S layout B, given" in scored.stdout
    assert scored.stdout.splitlines()[0] == run("eval", packed, "--corpus", corpus).stdout.splitlines()[0]
    texts = [run("generate", arm, "The people", "-n", "6", *told), run("generate", packed, "The people", "-n", "6")]
    assert texts[0].stdout == texts[1].stdout


def test_a_layout_of_nothing_is_exit_2(packed, arm):
    """Red when an option that changes nothing is taken in silence, or a candidate may be told to guess."""
    for command in (("info", packed), ("diff", packed, packed)):
        done = run(*command, "--i2s-layout", "B")
        assert (done.returncode, done.stdout) == (2, ""), command
        assert "no I2_S" in done.stderr
    assert run("diff", packed, arm, "--candidate-i2s-layout", "auto").returncode == 2


def tl1_bytes(trits: np.ndarray, tiles: tuple[int, int, int], scale: float) -> bytes:
    """TL1 as docs/formats.md §2.8 nests it, by reshaping; the engine's tests hold it against a loop."""
    (rows, columns), (bm, bk, bmm), by = trits.shape, tiles, 256 // tiles[2]
    grid = trits.reshape(rows // bm, bm // bmm, bmm // 16, 16, columns // bk, bk // by, by // 4, 4)
    fours = grid.transpose(0, 4, 1, 5, 2, 6, 3, 7).reshape(-1, 4).astype(np.int16)
    pairs = 3 * fours[:, ::2] + fours[:, 1::2] + 4
    return (pairs[:, 0] << 4 | pairs[:, 1]).astype(np.uint8).tobytes() + np.float32(scale).tobytes() + bytes(28)


def test_a_kernel_config_opens_tl1(packed, i2_s, corpus, tmp_path, monkeypatch):
    """Red when TL1 is refused although its tiles are given, or the report does not say which config was used."""
    shapes = {
        (256, 256): (128, 64, 32),
        (128, 256): (128, 64, 32),
        (768, 256): (256, 64, 32),
        (256, 768): (128, 64, 32),
    }
    sections = [
        f"[k{m}x{k}]\nm = {m}\nk = {k}\nbm = {bm}\nbk = {bk}\nbmm = {bmm}\n" for (m, k), (bm, bk, bmm) in shapes.items()
    ]
    config, path = tmp_path / "kernel_config.ini", tmp_path / "tl1.gguf"
    config.write_text("".join(sections))
    monkeypatch.setitem(_type_ids(), QuantType.TL1, TL1)
    with engine.open_checkpoint(i2_s) as source:

        def tensor(info):
            if info.type is not QuantType.I2_S:
                return OutTensor(info.name, info.type, info.shape, lambda: source.read_bytes(info.name))
            trits = source.read_ternary(info.name)
            data = tl1_bytes(trits.values, shapes[info.shape], float(trits.scale))
            return OutTensor(info.name, QuantType.TL1, info.shape, lambda: data)

        write_gguf(path, source.metadata, [tensor(info) for info in source.tensors.values()])
    refused = run("diff", packed, path)
    assert refused.returncode == 6
    assert "pass --kernel-config FILE" in refused.stderr
    report = json.loads(run("diff", packed, path, "--kernel-config", config, "--json").stdout)
    assert report["identical"], [tensor for tensor in report["tensors"] if not tensor["equal"]]
    assert report["candidate_reading"]["kernel_config"] == str(config)
    assert len(report["candidate_reading"]["kernel_config_sha256"]) == 64
    scored = run("eval", path, "--corpus", corpus, "--kernel-config", config)
    assert f"read as     tiles of {config}, sha256 " in scored.stdout
    assert "TL1, which is not decoded" in run("info", path, "--scan").stdout
    assert "TL1, which is not decoded" not in run("info", path, "--scan", "--kernel-config", config).stdout


def _type_ids():
    from bitnet_engine.formats import gguf_writer

    return gguf_writer._TYPE_IDS
