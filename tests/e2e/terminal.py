"""A real terminal for the real program: a private tmux server, one key at a time, text awaited and never slept for."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
"""Seconds until a text that does not come is a failure; compiling on a loaded machine takes several."""

available = shutil.which("tmux") is not None


class Terminal:
    """One tmux window that runs a shell command, then prints its exit status."""

    def __init__(self, command: str, folder: Path, columns: int = 120, rows: int = 40, **env: str) -> None:
        self._tmux = ["tmux", "-S", str(folder / f"tmux-{columns}x{rows}"), "-f", "/dev/null"]
        program = f"{sys.executable} -m bitnet_tui {command}"
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "BITNET_TUI_RUNS": str(folder), **env}
        exports = " ".join(f"{name}='{value}'" for name, value in settings.items())
        # The shell stays: what is left on the screen after the program, and the state of the terminal, count too.
        # COLUMNS and LINES, where a test runner has set them, would win over the real size of the window.
        program = f"env -u COLUMNS -u LINES {exports} {program}"
        # Its own trap keeps it alive through Ctrl-C, which a terminal sends to the whole process group.
        line = (
            f"trap : INT; cd {ROOT}; stty -a >{folder}/before; {program}; status=$?; "
            f"stty -a >{folder}/after; echo EXIT=$status; while :; do sleep 1; done"
        )
        self._call("new-session", "-d", "-x", str(columns), "-y", str(rows), "sh", "-c", line)

    def _call(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, timeout=PATIENCE)
        return done.stdout

    def screen(self) -> str:
        """Return what the terminal shows, as text."""
        return self._call("capture-pane", "-p")

    def record(self, file: Path) -> None:
        """Keep every byte that the program writes from now on in `file`."""
        self._call("pipe-pane", f"cat >>{file}")

    def press(self, key: str) -> None:
        """Send one key, by tmux's name for it."""
        self._call("send-keys", key)

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        self._call("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, *texts: str) -> str:
        """Return the screen once it shows all of `texts`; fail with the screen when it never does."""
        deadline = time.monotonic() + PATIENCE
        while True:
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            assert time.monotonic() < deadline, f"{texts} did not appear on:\n{screen}"
            time.sleep(0.05)

    def wait_until_gone(self, text: str) -> None:
        """Wait until the screen shows `text` no more; fail with the screen where it stays."""
        deadline = time.monotonic() + PATIENCE
        while text in (screen := self.screen()):
            assert time.monotonic() < deadline, f"{text} stays on:\n{screen}"
            time.sleep(0.05)

    def pid(self) -> int:
        """Return the process id of the program."""
        shell = self._call("display-message", "-p", "#{pane_pid}").strip()
        return children(int(shell))[0]

    def close(self) -> None:
        """End the server and everything in it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


def children(pid: int) -> list[int]:
    """Return the process ids of the children of `pid`."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def gone(pid: int) -> bool:
    """Wait for process `pid` to end; False when it never does. A zombie nobody has reaped yet is gone too."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False
