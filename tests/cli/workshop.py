"""A process that runs the program in copies of itself, which may be stopped at any moment.

Each run is a fork, so that the libraries are imported once: ``python -m tests.cli.workshop``
reads one JSON object a line, what to run and when to stop, and answers with one.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOM = 300.0  # seconds that a run may take


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of one run: its exit code, or the signal that ended it as a negative number."""

    code: int
    out: str
    err: str
    seconds: float = 0.0  # of the processor
    ticks: int = 0  # steps of progress
    writes: int = 0  # files that took their name

    @property
    def lines(self) -> list[str]:
        return self.err.strip().splitlines()


@dataclass
class Workshop:
    """The other end of the process."""

    folder: Path
    process: Any = field(default=None)

    def __call__(
        self,
        *arguments: str | Path,
        tick: int = 0,
        write: int = 0,
        half: int = 0,
        after: bool = False,
        named: str = "",
        how: int = signal.SIGKILL,
        room: int = 0,
    ) -> Run:
        """Run ``excise``.

        tick, write, half: the step of progress, the finished file, or the tensors half written at
        which it sends itself the signal `how`; 0 for never. after: once the file has its name, not
        before. named: of files, only those with this in their name are counted. room: bytes that a
        file may grow to.
        """
        order = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(self.folder),
            "tick": tick, "write": write, "half": half, "after": after, "named": named,
            "how": int(how), "room": room,
        }  # fmt: skip
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return Run(**json.loads(self.process.stdout.readline()))


def serve() -> None:
    """Answer orders until there are no more."""
    import torch

    torch.set_num_threads(1)
    from tests import tiny

    import excise.api
    import excise.cli.app
    import excise.erasers.task_vector

    # Once here, and so in no run: the libraries import a class when it is first used.
    with TemporaryDirectory() as folder:
        tiny.stable_diffusion().save_pretrained(folder)
        excise.api.generate(folder, "a cat", steps=1)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(vars(obey(json.loads(line)))) + "\n")
        sys.stdout.flush()


def obey(order: Mapping[str, Any]) -> Run:
    """Fork, run, and see how it ended."""
    place = Path(order["cwd"])
    logs = [place / f".{name}.log" for name in ("out", "err", "count")]
    for log in logs:
        log.write_text("")
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = work(order, logs)
        finally:
            os._exit(code)
    begun = time.monotonic()
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - begun > ROOM:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)
    out, err, count = (log.read_text() for log in logs)
    for log in logs:
        log.unlink()
    return Run(
        code=os.waitstatus_to_exitcode(status),
        out=out,
        err=err,
        seconds=used.ru_utime + used.ru_stime,
        ticks=count.count("t"),
        writes=count.count("w"),
    )


def work(order: Mapping[str, Any], logs: list[Path]) -> int:
    """In the copy: the program itself, with an alarm set."""
    os.chdir(order["cwd"])
    os.environ["EXCISE_CACHE"] = order["cwd"] + "-cache"  # of these runs alone
    for number, log in enumerate(logs[:2], start=1):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), number)
    # What is counted is written down at once: the process may not live to tell.
    count = os.open(logs[2], os.O_WRONLY | os.O_APPEND)
    alarm(order, partial(os.write, count))
    if order["room"]:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["room"], hard))
    sys.argv = ["excise", *order["arguments"]]
    from excise.cli import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def alarm(order: Mapping[str, Any], noted: Callable[[bytes], object]) -> None:
    """Stop at the moment that was ordered; keep checkpoints of every step; judge without files."""
    from tests.cli.judges import Dogs, Shades

    import excise.api.cases
    import excise.api.erasing
    import excise.store.tensors
    from excise.api.judging import Judges
    from excise.progress import PlainProgress
    from excise.store import Stages

    excise.api.erasing.Stages = partial(Stages, every_seconds=0.0)  # type: ignore[attr-defined]
    excise.api.erasing.judges_for = lambda *_: Judges(first=Dogs())  # type: ignore[attr-defined]
    excise.api.cases.judges_for = lambda *_: Judges(first=Shades())  # type: ignore[attr-defined]
    seen = {"tick": 0, "write": 0, "half": 0}

    def reached(what: str) -> bool:
        seen[what] += 1
        return bool(seen[what] == order[what])

    def stop() -> None:
        os.kill(os.getpid(), order["how"])

    # No lines of progress, which there are more or less of as the machine is slow or fast.
    PlainProgress.__init__.__defaults__ = (1e9, time.monotonic)  # type: ignore[misc]
    advance, replace = PlainProgress.advance, os.replace
    save_file = excise.store.tensors.save_file

    def counted(self: PlainProgress, n: int = 1) -> None:
        noted(b"t")
        if reached("tick"):
            stop()
        advance(self, n)

    def renamed(*arguments: Any) -> None:
        now = order["named"] in Path(arguments[1]).name and reached("write")
        if now and not order["after"]:
            stop()
        replace(*arguments)
        noted(b"w")
        if now:
            stop()

    def halved(tensors: Any, path: Path, metadata: Any) -> None:
        save_file(tensors, path, metadata)
        if reached("half"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            path.with_name(".tmpAbCdEf").write_bytes(b"as the library names it")
            stop()

    PlainProgress.advance = counted  # type: ignore[method-assign]
    os.replace = renamed  # type: ignore[assignment]
    excise.store.tensors.save_file = halved  # type: ignore[assignment]


if __name__ == "__main__":
    serve()
