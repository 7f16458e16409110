"""The harness's end of a worker process: it sends requests and returns answers, or the reason why there is none."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import RdbenchError, TransientError, killed_externally
from bench.limits import THREADS

LONGEST_LOG, KEPT_OF_LOG = 16 << 20, 1 << 20  # bytes
ROOT = Path(__file__).resolve().parents[2]


class WorkerError(RdbenchError):
    """A codec raised an error or crashed; the message becomes the reason in its row."""


class WorkerStoppedError(WorkerError, TransientError):
    """The machine stopped a codec: killed from outside, a timeout, a full disk. The job fails, without a row."""


class _CrashError(Exception):
    """The process ended by itself during a request; the message gives the exit status."""


class Worker:
    """One `bench.run.worker` process for one codec, started at the first request and again after a crash.

    side: "encode" or "decode"; log: file for what the process prints; timeout_s: for one answer; threads: the number
    its libraries may use; device: the variables that say where its networks run (Device.environment).
    """

    def __init__(
        self,
        side: str,
        codec: str,
        log: Path,
        timeout_s: float = 600.0,
        threads: int = 1,
        device: Mapping[str, str] | None = None,
    ):
        self.side, self.codec, self.log, self.timeout_s = side, codec, log, timeout_s
        self.environment = _environment(side, threads) | dict(device or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="rdbench-")  # scratch, and the process's working folder
        self.pending = b""
        self.asked = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stop(at_once=kind is not None)
        self.folder.cleanup()

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request. Raises WorkerError with the reason if there is none.

        A process that crashes is restarted and asked once more: only a second crash is the codec's fault.
        """
        try:
            answer = self._ask(request)
        except _CrashError:
            try:
                answer = self._ask(request)
            except _CrashError as error:
                raise WorkerError(f"{self.side}: {error}") from None
        if "error" in answer:
            kind = WorkerStoppedError if answer.get("transient") else WorkerError
            raise kind(f"{self.side}: {answer['error']}")
        return answer

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        process = self._start()
        assert process.stdin is not None
        self.asked += 1
        try:
            process.stdin.write(json.dumps({**request, "id": self.asked}).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(self._read_line(process))
        except (BrokenPipeError, EOFError):
            how = self._stop()
            if killed_externally(process.returncode):
                raise WorkerStoppedError(f"{self.side}: {how}") from None
            raise _CrashError(how) from None
        except TimeoutError:
            self._stop(at_once=True)
            raise WorkerStoppedError(
                f"{self.side}: no answer within {self.timeout_s:g} s, process killed; for a slow codec, raise the "
                "timeout (timeout_s in the configuration, --timeout)"
            ) from None
        if (number := answer.pop("id", None)) != self.asked:  # a library wrote to the channel, or an answer came late
            self._stop()
            raise WorkerError(f"{self.side}: expected the answer to request {self.asked}, got that to {number}")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            self.pending = b""
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "bench.run.worker", self.side, self.codec],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=self.folder.name,
                    env=self.environment,
                    start_new_session=True,  # its own process group, so that programs it starts end with it
                )
        return self.process

    def _read_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        deadline = time.monotonic() + self.timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in self.pending:
                left = deadline - time.monotonic()
                if not selector.select(max(0.0, min(1.0, left))):
                    cut_log(self.log)
                    if left <= 0:
                        raise TimeoutError
                    continue
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise EOFError
                self.pending += chunk
        line, self.pending = self.pending.split(b"\n", 1)
        cut_log(self.log)
        return line

    def _stop(self, at_once: bool = False) -> str:
        """Ends the process and everything it started; returns how it ended, with the last line it printed."""
        process, self.process = self.process, None
        if process is None:
            return "not running"
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        if not at_once:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
        with contextlib.suppress(
            ProcessLookupError, PermissionError
        ):  # macOS raises PermissionError for a group of zombies
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        process.stdout.close()
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.is_file() else []
        return f"process ended ({how})" + (f": {lines[-1].strip()}" if lines else "")


def cut_log(path: Path) -> None:
    """Keeps only the end of a log longer than LONGEST_LOG bytes, as a codec may print endlessly. Writers append."""
    with contextlib.suppress(OSError):
        if not path.is_file() or path.stat().st_size <= LONGEST_LOG:
            return
        with open(path, "r+b") as log:
            log.seek(-KEPT_OF_LOG, os.SEEK_END)
            end = log.read().partition(b"\n")[2]
            log.truncate(0)
            log.seek(0)
            log.write(b"(the beginning was removed: over %d bytes)\n" % LONGEST_LOG + end)


def _environment(side: str, threads: int) -> dict[str, str]:
    """The environment of a worker: one thread count for all libraries, and for a decoder no path to images."""
    hidden = ("RDBENCH_CACHE", "RDBENCH_DATA", "RDBENCH_MIRROR") if side == "decode" else ()
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))  # a worker stands in another folder
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(str(Path(folder).absolute()) for folder in given)])
    for name in (THREADS, "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        environment[name] = str(threads)
    return environment
