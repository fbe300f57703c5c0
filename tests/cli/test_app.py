from __future__ import annotations

import ast
import inspect
import resource
import subprocess
import sys

import pytest
from tests.cli.calling import call

import excise
from excise.cli.app import app

COMMANDS = {command.name: command.callback for command in app.registered_commands}


def test_help_does_not_wait_for_heavy_libraries() -> None:
    heavy = ("torch", "numpy", "diffusers", "transformers", "pydantic", "matplotlib")
    code = (
        "import sys; sys.argv = ['excise', '--help']\n"
        "from excise.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.strip().splitlines()[-1] == "[]"
    # Of the processor, which other work on the machine does not stretch.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_there_is_a_command_for_every_function() -> None:
    functions = {"erase", "attack", "evaluate", "generate", "apply", "merge", "info", "export"}
    assert COMMANDS.keys() == functions | {"report", "demo", "list"}


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"list", "demo"}))
def test_a_command_is_one_call_of_its_function(name: str) -> None:
    callback = COMMANDS[name]
    assert callback is not None
    tree = ast.parse(inspect.getsource(callback))
    calls = [
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "api"
    ]
    # --dry-run asks for an estimate.
    assert [call for call in calls if not call.startswith("estimate")] == [name]
    assert hasattr(excise, name)


@pytest.mark.parametrize("name", sorted(COMMANDS, key=str))
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    done = call(name, "--help")
    assert done.exit_code == 0
    callback = COMMANDS[name]
    assert callback is not None
    assert (callback.__doc__ or "").strip()
    for parameter in inspect.signature(callback, eval_str=True).parameters.values():
        described = parameter.annotation.__metadata__[0]
        assert described.help, parameter.name


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("remove", "'remove'"),
        ("erase", "'CONCEPT'"),
        ("erase cat --budget huge", "'standard'"),
        ("erase cat --bogus 1", "--bogus"),
        ("erase cat --seed -1", "'--seed'"),
        ("erase cat --strength strong", "'--strength'"),
        ("generate cat --steps -3", "'--steps'"),
        ("generate cat -n 0", "'-n'"),
        ("generate cat --threads 0", "'--threads'"),
        ("generate cat --dtype int8", "'--dtype'"),
        ("apply x.safetensors", "'--out'"),
    ],
)
def test_a_mistake_in_the_command_itself_is_one_line(line: str, said: str) -> None:
    done = call(*line.split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("excise: ")
    assert said in done.stderr
    assert "--help" in done.stderr


def test_what_is_not_a_mistake() -> None:
    assert call("--version").output.strip() == f"excise {excise.__version__}"
    assert "Usage" in call().output
    assert call("--help").exit_code == 0
