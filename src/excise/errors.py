"""What can go wrong, and the exit code that it means on the command line.

::

    ExciseError                 1   anything that Excise itself reports
    ├── UserError               2   a mistake in what was asked; no traceback is shown for it
    │   ├── UnknownName         2   a concept, method, attack, metric, judge, hook that is not there
    │   ├── BadSetting          2   a hyperparameter or option with a value that it cannot take
    │   ├── BadConcept          2   a concept that is not usable: empty, contradictory, unknown kind
    │   ├── BadFile             2   a file that is missing, damaged, of another format or unsafe
    │   ├── WrongBase           2   an edit that was made for another model
    │   ├── MissingJudge        2   nothing can say whether a picture shows the concept
    │   └── Unsupported         2   this model family or machine cannot do what was asked
    ├── Infeasible              3   no strength removes the concept and keeps the rest
    ├── NumericalError          1   a loss or a weight that is not finite
    └── ResourceError           1   disk full, no permission to write, out of memory

A message is one line and holds three things: what was expected, what came, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import ClassVar


class ExciseError(Exception):
    """The root: ``except excise.ExciseError`` catches everything that Excise reports."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # one line, whatever another library wrote


class UserError(ExciseError):
    """What was asked for cannot be done as it stands; the message says what to change."""

    exit_code: ClassVar[int] = 2


class UnknownName(UserError):
    """A name that is in no list; `unknown` writes the message from that very list."""


class BadSetting(UserError):
    """A hyperparameter or an option with a value that it cannot take."""


class BadConcept(UserError):
    """A concept that cannot be used as it is described."""


class BadFile(UserError):
    """A file that is missing, damaged, of another format, or unsafe to open."""


class WrongBase(UserError):
    """An edit meets a model other than the one that it was made for."""


class MissingJudge(UserError):
    """No judge was given, and neither the model nor this machine has one."""


class Unsupported(UserError):
    """This family of models, or this machine, cannot do what was asked."""


class Infeasible(ExciseError):
    """No answer meets both demands. `details` holds the ends that were reached, for the report."""

    exit_code: ClassVar[int] = 3

    def __init__(self, message: str, *, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.details: Mapping[str, object] = dict(details or {})


class NumericalError(ExciseError):
    """A loss, a prediction or a weight is not finite."""


class ResourceError(ExciseError):
    """The machine has not enough of something: disk, memory, permission."""


def suggest(name: str, known: Iterable[str], *, show: int = 12) -> str:
    """What to do about a name that is not among `known`: close names, else the names there are.

    `known` is to be the set that was checked, so that the message cannot be out of step with it.
    """
    names = sorted(set(known))
    if not names:
        return "there are none"
    # Case and the choice of dash, underscore or space are the commonest slips.
    plain = {_plain(n): n for n in reversed(names)}
    close = difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(repr(plain[c]) for c in close) + "?"
    more = f" and {len(names) - show} more" if len(names) > show else ""
    return "known: " + ", ".join(names[:show]) + more


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a `name` that is not among the `known` names of a `kind`; to be raised."""
    return UnknownName(f"no {kind} is called {name!r}: {suggest(name, known)}")


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(" ", "_")
