"""Every command as a process: what it prints, what it writes, how it exits."""

import json
import signal
import subprocess
import sys

import pytest

from tests.e2e.program import PROGRAM, run


def test_parity_of_lossless_twins_passes(packed, i2_s, short_corpus, tmp_path):
    """Red when the twins differ anywhere, an artifact is missing, or PASS is not exit 0."""
    done = run("parity", packed, i2_s, "--corpus", short_corpus, "--export", tmp_path / "out", "--profile", "lossless")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("PASS")
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["metrics"]["tau_b"]["median"] == 1.0
    assert report["metrics"]["nll_unequal"] == 0
    assert report["metrics"]["kl"]["max"] == 0.0
    assert report["metrics"]["tokens"] > 800
    assert report["stamp"]["numerics"] == "exact-int8"
    assert (tmp_path / "out" / "parity_failures.jsonl").read_bytes() == b""
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_bytes().splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["run.start", "run.end"]
    assert sum(event["event"] == "token" for event in events) == report["metrics"]["tokens"]


def test_numerics_of_both_sides_are_stamped(packed, short_corpus):
    """Red when an option is not passed on: a result is then stamped as what it was not computed with."""
    numerics = ("--numerics", "float", "--candidate-numerics", "llamacpp-q8k")
    done = run("parity", packed, packed, "--corpus", short_corpus, "--max-tokens", "40", "--json", *numerics)
    report = json.loads(done.stdout)
    assert report["stamp"]["numerics"] == "float against llamacpp-q8k"
    assert (report["reference"]["numerics"], report["candidate"]["numerics"]) == ("float", "llamacpp-q8k")
    assert report["metrics"]["kl"]["max"] > 0


def test_another_model_fails_parity(tmp_path, packed, i2_s, short_corpus):
    """Red when a gate cannot fail: here the candidate runs with SiLU (microsoft/BitNet #588)."""
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "silu"}))
    folder = ("--corpus", short_corpus, "--profile", "fp32", "--export", tmp_path / "out", "--json")
    done = run("parity", i2_s, tmp_path, *folder)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["judgement"]["verdict"] == "FAIL"
    statuses = {gate["gate"]: gate["status"] for gate in report["judgement"]["gates"]}
    assert statuses["tokenizer"] == "PASS"
    assert statuses["belief"] == "FAIL"
    failures = (tmp_path / "out" / "parity_failures.jsonl").read_bytes().splitlines()
    assert len(failures) == report["failures"] > 0
    first = json.loads(failures[0])
    assert first["path"][0] == 4088
    assert {"document", "position", "tau_b", "kl", "top_reference", "top_candidate"} <= first.keys()


def test_two_paths_with_export_run_headless(packed, i2_s, short_corpus, tmp_path):
    """Red when the short form differs from the long one."""
    done = run(packed, i2_s, "--corpus", short_corpus, "--max-tokens", 40, "--export", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.json").exists()


def test_one_path_with_export_writes_info(i2_s, tmp_path):
    """Red when a model alone with --export asks for a terminal."""
    done = run(i2_s, "--export", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "info.json").read_bytes())["architecture"] == "bitnet-b1.58"


def test_eval_agrees_with_the_reference_side_of_parity(packed, i2_s, short_corpus, tmp_path):
    """Red when eval cuts windows or documents otherwise than parity does."""
    evaluated = json.loads(run("eval", i2_s, "--corpus", short_corpus, "--json", "--export", tmp_path).stdout)
    compared = json.loads(run("parity", packed, i2_s, "--corpus", short_corpus, "--json").stdout)
    assert evaluated["mean_nll"] == compared["metrics"]["mean_nll_reference"]
    assert evaluated["corpus"]["tokens"] == compared["metrics"]["tokens"]
    assert json.loads((tmp_path / "eval.json").read_bytes()) == evaluated


def test_generate_is_the_same_text_twice(i2_s):
    """Red when a seed does not decide the text, stdout holds narration, or the type of the cache is not stamped."""
    command = ["generate", i2_s, "The people of", "-n", 12, "--temperature", 0.9, "--seed", 5]
    first, second = run(*command), run(*command)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout.endswith("\n")
    assert "load" not in first.stdout
    report = json.loads(run(*command, "--json").stdout)
    assert len(report["tokens"]) == 12
    assert report["text"] + "\n" == first.stdout
    narrow = json.loads(run(*command, "--cache-type", "float16", "--json").stdout)
    assert (report["stamp"]["cache"], narrow["stamp"]["cache"]) == ("float32", "float16")


def test_tokenize_reads_argument_file_and_stdin_alike(packed, tmp_path):
    """Red when a final newline or the BOS differs between the ways in."""
    (tmp_path / "text").write_text("Hello wörld\n")
    by_argument = json.loads(run("tokenize", packed, "Hello wörld\n", "--json").stdout)
    by_file = json.loads(run("tokenize", packed, "--file", tmp_path / "text", "--json").stdout)
    assert by_argument["tokens"] == by_file["tokens"]
    assert by_argument["tokens"][0] == 4088
    assert json.loads(run("tokenize", packed, "x", "--no-bos", "--json").stdout)["tokens"][0] != 4088


def test_info_prints_the_same_to_a_pipe_twice(i2_s):
    """Red when output holds a time, an order of a set, or a width of a terminal."""
    assert run("info", i2_s).stdout == run("info", i2_s, COLUMNS="40").stdout != ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("info", "no/such/model.gguf"), 3, "no/such/model.gguf: no such file"),
        (("no/such/model.gguf", "--json"), 3, "no such file"),
        (("parity", "nothing", "nothing"), 3, "nothing: no such file"),
        (("eval", "{i2_s}", "--corpus", "no/such/corpus"), 3, "no/such/corpus"),
        (("eval", "{i2_s}", "--context", "1"), 2, "--context"),
        (("eval", "{i2_s}", "--context", "300"), 2, "2 to 256"),
        (("eval", "{i2_s}", "--max-tokens", "0"), 2, "--max-tokens"),
        (("parity", "{i2_s}", "{i2_s}", "--profile", "exact"), 2, "lossless, nightly, fp32, quantized"),
        (("parity", "{i2_s}", "{i2_s}", "--profile", "no/such.toml"), 4, "no/such.toml: cannot read the profile"),
        (("parity", "{i2_s}", "{i2_s}", "--profile", ""), 2, "the path is empty"),
        (("judge", "no/report.json"), 3, "no/report.json: no such file"),
        (("judge", "{i2_s}"), 3, "not JSON"),
        (("parity", "{i2_s}"), 2, "CANDIDATE"),
        (("tokenize", "{i2_s}"), 2, "--file"),
        (("tokenize", "{i2_s}", "--file", "no/such/text"), 3, "no/such/text"),
        (("generate", "{i2_s}", "x", "-n", "1000"), 2, "256 positions"),
        (("diff", "{i2_s}"), 2, "CANDIDATE"),
        (("diff", "{i2_s}", "nothing"), 3, "nothing: no such file"),
        (("convert", "{i2_s}", "x.gguf"), 2, "--type"),
        (("convert", "{i2_s}", "x.gguf", "--type", "Q4_0"), 2, "HF_PACKED"),
        (("convert", "{i2_s}", "x", "--type", "HF_PACKED", "--max-shard-size", "5 cats"), 2, "is no size; 5GB"),
        (("convert", "{i2_s}", "x", "--type", "HF_PACKED", "--max-shard-size", "0.1"), 2, "is no size; 5GB"),
        (("convert", "{i2_s}", "x.gguf", "--type", "HF_PACKED"), 2, "written as a folder; leave .gguf out"),
        (("convert", "{i2_s}", "x", "--type", "HF_PACKED", "--byte-order", "big"), 2, "a folder has no byte order"),
        (("convert", "nothing", "x.gguf", "--type", "I2_S"), 3, "nothing: no such file"),
        (("convert", "{i2_s}", "no/such/x.gguf", "--type", "I2_S"), 4, "cannot be written"),
        (("info", "{i2_s}", "--limit", "tensor=5"), 2, "--limit: 'tensor' is no limit; did you mean 'tensors'?"),
        (("--limit=tensors=5", "info", "{i2_s}"), 3, "tensors, the limit is 5; raise it with --limit tensors=N"),
        (("eval", "--limit", "metadata_keys=3", "{i2_s}"), 3, "raise it with --limit metadata_keys=N"),
        (("inof", "{i2_s}"), 2, "Did you mean 'info'?"),
        (("a", "b", "c"), 2, "3 paths"),
        (("{i2_s}",), 2, "needs a terminal"),
        ((), 2, "needs a terminal"),
        (("info", "{i2_s}", "--export", "{i2_s}/sub"), 4, "cannot make this folder"),
        (("info", "{i2_s}", "--export", ""), 2, "the path is empty"),
        (("eval", "{i2_s}", "--corpus", ""), 2, "the path is empty"),
        (("eval", "{i2_s}", "--corpus", "x" * 400), 4, "too long"),
        (("generate", "{i2_s}", "x", "--temperature", "nan"), 2, "not a finite number"),
        (("generate", "{i2_s}", "x", "--seed", "9" * 30), 2, "--seed"),
        (("generate", "{i2_s}", "\udcff"), 2, "not UTF-8"),
        (("tokenize", "{i2_s}", "--file", "/dev/zero"), 3, "not a regular file"),
        (("info", "no/\udcff/model.gguf"), 3, "no such file"),
        (("convert", "{i2_s}", "", "--type", "I2_S"), 2, "the path is empty"),
        (("convert", "{i2_s}", "x.gguf", "--type", "I2_S", "--export", "{i2_s}/sub"), 4, "cannot make this folder"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(i2_s, arguments, code, message):
    """Red when an error is a traceback, two lines, or the wrong exit code."""
    done = run(*(argument.format(i2_s=i2_s) for argument in arguments))
    lines = [line for line in done.stderr.splitlines() if not line.endswith("…")]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("bitnet-tui: ")
    assert message in lines[0]


def test_json_errors_are_json(tmp_path):
    """Red when a script that asked for JSON gets nothing to parse."""
    done = run("info", tmp_path / "none.gguf", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["exit_code"] == 3


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF\x03\0\0\0", b"not a model at all, only some text"])
def test_bad_files_are_exit_3_in_every_command(tmp_path, content):
    """Red when one command has its own way to open a file."""
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(content)
    for command in (("info", bad), ("tokenize", bad, "x"), ("generate", bad, "x"), ("parity", bad, bad)):
        done = run(*command)
        assert done.returncode == 3, (command, done.stderr)
        assert "Traceback" not in done.stderr
        assert str(bad) in done.stderr.splitlines()[-1]


def test_a_truncated_sample_is_exit_3(tmp_path, i2_s):
    """Red when a download that broke off is run with whatever bytes are there."""
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(i2_s.read_bytes()[:-1000])
    done = run("eval", cut)
    assert done.returncode == 3
    assert "blk.5." in done.stderr


def test_what_both_files_declare_is_compared_before_any_score(packed, short_corpus, tmp_path):
    """Red when a verdict names no cause although one line of config.json is the cause."""
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "silu"}))
    done = run("parity", packed, tmp_path, "--corpus", short_corpus, "--max-tokens", 8)
    assert "! activation differs: relu2 in the reference, silu in the candidate" in done.stdout
    assert "activation is relu2 and silu" in done.stderr


def test_a_reader_that_goes_changes_no_exit_code(i2_s):
    """Red when `| head` turns a pass into exit 1, which means a failed gate."""
    code = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, stderr=subprocess.PIPE); "
    )
    code += "p.stdout.close(); e = p.stderr.read(); sys.exit(p.wait() or bool(e))"
    done = subprocess.run([sys.executable, "-c", code, *PROGRAM, "info", str(i2_s)], check=False)
    assert done.returncode == 0


def test_a_full_disk_behind_stdout_is_exit_4(i2_s):
    """Red when a result that nobody got counts as delivered."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PROGRAM, "info", i2_s, "--json"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 4
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_closed_streams_are_no_crash(i2_s):
    """Red when a service that starts us without stderr or stdout gets a traceback instead of a code."""
    for redirect in (">&-", "2>&-", "<&-"):
        command = f"{' '.join(PROGRAM)} info {i2_s} --json {redirect}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
        assert done.returncode == 0, (redirect, done.stderr)


def test_escape_sequences_in_a_message_are_shown_not_obeyed(tmp_path):
    """Red when a file name or a tensor name of a stranger drives the terminal."""
    done = run("info", tmp_path / "evil\x1b[2J.gguf")
    assert done.returncode == 3
    assert "\x1b" not in done.stderr


def test_debug_shows_the_traceback_of_the_worker(i2_s, short_corpus):
    """Red when --debug shows where the parent gave up instead of where the engine did."""
    done = run("eval", i2_s, "--corpus", short_corpus, "--context", 300, "--debug")
    assert done.returncode == 2
    assert "session.py" in done.stderr
    assert "sides.py" in done.stderr


def test_sigterm_leaves_no_half_written_artifact(packed, i2_s, tmp_path):
    """Red when a stopped CI job leaves temporary files, or a worker, behind."""
    command = [*PROGRAM, "parity", str(packed), str(i2_s), "--export", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    for line in process.stderr:
        if b"tokens in" in line:
            break
    process.terminate()
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    # The journal is what --resume goes on from; no artifact is there in part.
    assert [path.name for path in (tmp_path / "out").iterdir()] in ([], [".parity.journal"])


def test_convert_and_diff_close_the_circle(packed, i2_s, tmp_path):
    """Red when a converted file differs, sameness is not exit 0, or stdout holds narration."""
    done = run("convert", i2_s, tmp_path / "hf", "--type", "hf_packed", "--max-shard-size", "1MB", "--json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hf" / "model.safetensors.index.json").exists()
    report = json.loads(done.stdout)
    assert (report["type"], report["tensors"], report["losses"]) == ("HF_PACKED", 68, [])
    same = run("diff", packed, tmp_path / "hf", "--export", tmp_path / "out")
    assert same.returncode == 0, same.stderr
    assert same.stdout.splitlines()[-1] == "IDENTICAL"
    assert len(same.stdout.splitlines()) == 9
    assert json.loads((tmp_path / "out" / "diff.json").read_bytes())["identical"] is True
    assert same.stderr == ""


def test_a_difference_is_exit_1_and_named(packed, i2_s, tmp_path):
    """Red when two files that differ in one setting and one number pass, or the number is not shown."""
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden_act": "silu"}))
    data = bytearray((tmp_path / "model.safetensors").read_bytes())
    data[-1] ^= 1 if data[-1] & 3 != 2 else 2
    (tmp_path / "model.safetensors").write_bytes(data)
    done = run("diff", i2_s, tmp_path)
    assert done.returncode == 1, done.stderr
    assert "activation: 'relu2' against 'silu'" in done.stdout
    assert "blk.5.attn_v.weight (I2_S against HF_PACKED): 1 of 32,768 trits differ, first in rows 31;" in done.stdout
    assert done.stdout.splitlines()[-1] == "DIFFERENT"
    assert json.loads(run("diff", i2_s, tmp_path, "--json").stdout)["identical"] is False


def test_a_worker_ends_by_itself_and_well(i2_s):
    """Red when the thread that watches the leash makes the interpreter abort: a second late, by SIGABRT."""
    command = [sys.executable, "-P", "-m", "bitnet_tui.core.worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as worker:
        assert worker.stdin
        assert worker.stdout
        assert worker.stderr
        worker.stdin.write(json.dumps({"kind": "stats", "path": str(i2_s)}).encode() + b"\n")
        worker.stdin.flush()
        events = worker.stdout.read().splitlines()
        assert json.loads(events[-1])["event"] == "run.end"
        assert worker.wait() == 0  # the leash is still open
        assert worker.stderr.read() == b""


def test_a_tokenizer_larger_than_the_embedding_is_exit_3_and_names_the_side(packed, i2_s, short_corpus, tmp_path):
    """Red when such a pair fails in the middle of a run without saying which file is wrong."""
    for file in packed.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_bytes())
    tokenizer["added_tokens"].append({**tokenizer["added_tokens"][-1], "id": 4096, "content": "<|one too many|>"})
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    done = run("parity", i2_s, tmp_path, "--corpus", short_corpus)
    assert done.returncode == 3
    assert f"{tmp_path}: the tokenizer has 4097 ids and the embedding 4096 rows" in done.stderr


def test_judge_takes_the_stored_numbers_under_other_limits(packed, i2_s, short_corpus, tmp_path):
    """Red when `judge` has other exit codes than `parity`, returns the stored verdict, or ignores a user's file."""
    out, numerics = tmp_path / "out", ("--numerics", "float", "--candidate-numerics", "exact-int8")
    made = run("parity", packed, i2_s, "--corpus", short_corpus, "--max-tokens", 40, "--export", out, *numerics)
    assert made.returncode == 5, made.stderr
    strict = run("judge", out / "report.json", "--profile", "lossless", "--export", tmp_path / "again")
    assert (strict.returncode, strict.stdout.splitlines()[-1]) == (1, "FAIL  (profile lossless)")
    assert json.loads((tmp_path / "again" / "judgement.json").read_bytes())["judgement"]["verdict"] == "FAIL"
    assert run("judge", out).returncode == 5
    (tmp_path / "house.toml").write_text('base = "quantized"\nmedian_tau_b = 1.0\nfloor_factor = 0\n')
    house = run("judge", out, "--profile", tmp_path / "house.toml", "--json")
    assert house.returncode == 1
    assert json.loads(house.stdout)["judgement"]["profile"] == "house"
