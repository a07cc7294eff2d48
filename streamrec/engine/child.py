"""A child process that ends with its parent, however the parent ends."""

import os
import subprocess  # nosec B404 # what it is for
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

__all__ = ["Child"]

# Becomes the command (same pid) after asking the kernel to end it with its parent, also when
# that one is killed. Python may not do this between fork and exec: with threads about, a child
# that runs more than exec can hang.
_LEASH = """\
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() != int(parent):
    sys.exit("the parent has ended")
os.execv(command[0], command)
"""


class Child:
    """A process started by us, in a session of its own: Ctrl-C in the terminal is for us alone.

    command: path of the executable, and its arguments. Its output goes to the file `output`.
    env: its environment; ours if not given. files: open files that it inherits, by number.
    Raises OSError if it cannot be started. On other systems than Linux it outlives a parent
    that is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        files: Collection[int] = (),
    ) -> None:
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *command]
        self._ended = threading.Event()
        started: Future[subprocess.Popen[bytes]] = Future()

        def keep() -> None:
            try:
                with output.open("wb") as out:
                    process = subprocess.Popen(  # noqa: S603  # nosec B603 # the caller's own command line
                        command,
                        cwd=cwd,
                        env=env,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                        pass_fds=files,
                    )
            except OSError as error:
                started.set_exception(error)
                return
            started.set_result(process)
            process.wait()
            self._ended.set()

        # The kernel takes the *thread* that starts a child for its parent, so the thread stays.
        threading.Thread(target=keep, name="child", daemon=True).start()
        self._process = started.result()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it is still there."""
        return not self._ended.is_set()

    @property
    def exit_code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return None if self.running else self._process.returncode

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for its end; whether it has ended."""
        return self._ended.wait(timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Ask it to end (SIGTERM); kill it after `timeout_s`."""
        if self.running:
            self._process.terminate()
            if not self._ended.wait(timeout_s):
                self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self.running:
            self._process.kill()
            self._ended.wait()
