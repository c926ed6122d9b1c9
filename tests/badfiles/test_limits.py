"""What no file may cost or cause: 200 MB, the network, unpickling, a template that is run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.badfiles.builders import gguf_file, safetensors_raw, string
from tests.e2e.program import run

LIMIT = 200 << 20
"""Bytes that refusing a file may take, the interpreter and numpy among them."""

ROOT = Path(__file__).parents[2]

REFUSE = """
import sys, tempfile
from pathlib import Path
from bitnet_engine.errors import BitnetError
from bitnet_tui.core import session

def refuse(path):
    try:
        session.inspect(str(path))
        session.tokenize(str(path), "a b", bos=True)
    except BitnetError:
        return 1
    return 0

refused = 0
for place in sys.argv[1:]:
    refused += refuse(place)
if not sys.argv[1:]:
    from tests.badfiles.model_cases import MODELS
    from tests.badfiles.tokenizer_cases import TOKENIZERS
    for case in [*MODELS, *TOKENIZERS]:
        with tempfile.TemporaryDirectory() as folder:
            refused += refuse(case.build(Path(folder)))
# Not ru_maxrss, which begins with what the parent had when it forked.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(refused, int(status["VmHWM"].split()[0]) * 1024)
"""


def peak(*paths: Path) -> tuple[int, int]:
    """Return how many files a process refused, and the most memory it had, in bytes."""
    command = [sys.executable, "-c", REFUSE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    refused, most = done.stdout.split()
    return int(refused), int(most)


def test_all_bad_models_and_tokenizers_are_refused_in_200_mb():
    """A length that is reserved before it is compared, in C++ and Rust too, where no tracer of Python looks."""
    refused, most = peak()
    assert refused > 150
    assert most < LIMIT


ROOM = 16 << 20
DEAREST = {
    "a-wide-string": b'{"__metadata__":{"a":"' + "😀".encode() * ((ROOM - 40) // 4) + b'"}} ',
    "many-floats": b'{"a":[' + b"1.5," * 1_700_000 + b"1]}",
    "many-strings": b'{"a":[' + b'"ab",' * 1_700_000 + b'"a"]}',
    "many-objects": b'{"a":[' + b"{}," * 260_000 + b"{}]}",
    "many-digits": b'{"a":' + b"1" * (ROOM - 10) + b"}",
}


@pytest.mark.parametrize("name", DEAREST)
def test_the_dearest_header_that_the_limits_let_through(name: str, tmp_path: Path):
    """Limits in bytes alone: JSON of 16 MiB can become a gigabyte of Python objects."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(safetensors_raw(DEAREST[name]))
    _, most = peak(path)
    assert most < LIMIT


GUARD = """
import os, sys

FORBIDDEN = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
             "pickle.find_class", "urllib.Request"}

def guard(event, arguments):
    banned = event in FORBIDDEN or (event == "import" and arguments[0].split(".")[0] in ("jinja2", "requests", "torch"))
    if banned:
        with open(os.environ["GUARD_LOG"], "a") as log:
            log.write(f"{event} {arguments}\\n")
        raise RuntimeError(f"forbidden: {event}")

sys.addaudithook(guard)
"""

COMMANDS = {
    "info": ("info", "{}", "--scan"),
    "tokenize": ("tokenize", "{}", "a b"),
    "generate": ("generate", "{}", "a", "-n", "2"),
    "eval": ("eval", "{}", "--max-tokens", "4"),
    "parity": ("parity", "{}", "{}", "--max-tokens", "4"),
    "diff": ("diff", "{}", "{}"),
    "convert": ("convert", "{}", "{out}", "--type", "TQ2_0"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_uses_the_network_or_unpickles(command: str, i2_s: Path, tmp_path: Path):
    """A library that looks for updates, asks a hub for a file, or loads a pickle; the worker is watched too."""
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    log = tmp_path / "log"
    arguments = [part.format(i2_s, out=tmp_path / "out.gguf") for part in COMMANDS[command]]
    done = run(*arguments, PYTHONPATH=f"{tmp_path}:{ROOT}", GUARD_LOG=str(log), NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    assert not log.exists(), log.read_text()
    assert done.returncode in (0, 5), done.stderr


def test_the_guard_guards(tmp_path: Path):
    """A guard that is not loaded would let everything pass."""
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    script = "import socket; socket.socket().connect(('127.0.0.1', 1))"
    env = {"PYTHONPATH": str(tmp_path), "GUARD_LOG": str(tmp_path / "log")}
    done = subprocess.run([sys.executable, "-P", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert "forbidden: socket.connect" in done.stderr
    assert (tmp_path / "log").exists()


def test_a_chat_template_is_shown_and_never_run(tmp_path: Path):
    """Code of a stranger that runs because somebody looked at a file (CVE-2024-34359)."""
    template = "{{ ''.__class__.__mro__ }}{% for x in range(10**12) %}{% endfor %}"
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_file([("tokenizer.chat_template", string(template))], []))
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    done = run("info", path, "--json", PYTHONPATH=f"{tmp_path}:{ROOT}", GUARD_LOG=str(tmp_path / "log"))
    assert json.loads(done.stdout)["metadata"]["tokenizer.chat_template"] == template
    assert not (tmp_path / "log").exists()
