"""The tree of commands, and what happens to an error on its way to a person."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import pkgutil
import sys
import traceback
from functools import cache
from types import ModuleType
from typing import Any

import typer

from agentroute import cli
from agentroute.adapters.untrusted import words_of
from agentroute.cli.parts.common import ARGV
from agentroute.cli.parts.terminal import shown_only
from agentroute.errors import AgentRouteError

PARTS = f"{cli.__name__}.parts"

app = typer.Typer(
    name="agentroute",
    help="Decides which agent does what, in what shape, and can say why.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: rich's own help costs as much as everything else here
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


STOPPED = 130


def _version(asked: bool) -> None:
    if asked:
        from agentroute import __version__

        typer.echo(f"agentroute {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Say the version and leave."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks and log to stderr."),
) -> None:
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, stream=sys.stderr)
    if not debug:  # what was set aside or learned again changes answers: it is said
        logging.getLogger("agentroute.learning").setLevel(logging.WARNING)


def _commands() -> list[ModuleType]:
    """The files in this folder and its folders that have commands, in the order of the help."""
    names = (m.name for m in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}."))
    files = (name for name in names if name != __name__ and not name.startswith(PARTS))
    found = (importlib.import_module(name) for name in files)
    return sorted((f for f in found if hasattr(f, "register")), key=lambda module: module.PLACE)


for module in _commands():
    module.register(app)


@cache
def _tree() -> Any:
    """The commands, built once: a process that runs many lines pays for the tree of one."""
    return typer.main.get_command(app)


def run(argv: list[str] | None = None) -> int:
    """Run one command line; the exit code. 0 done, 1 failed, 2 usage, 3 configuration, 4 ledger."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    words = sys.argv[1:] if argv is None else argv
    token = ARGV.set(words)
    try:
        with shown_only():
            return _run(argv, debug="--debug" in words)
    finally:
        ARGV.reset(token)


def _run(argv: list[str] | None, *, debug: bool) -> int:
    try:
        code = _tree().main(argv, "agentroute", standalone_mode=False)
        if code == STOPPED:  # typer's way to say that Ctrl-C was pressed
            _say("stopped", "")
        return code if isinstance(code, int) else 0
    except _click("NoArgsIsHelpError") as e:
        e.show()
        return 0
    except _click("ClickException") as e:
        _say(e.format_message().removeprefix("Value error, "), _usage_hint(e))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        _say("stopped", "")
        return STOPPED
    except AgentRouteError as e:
        if debug:
            traceback.print_exc()
        _say(str(e), e.hint)
        return e.exit_code
    except BrokenPipeError:
        return _unread()
    except SystemExit as e:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click's mark of a broken pipe
            return _unread()
        return e.code if isinstance(e.code, int) else 1
    except Exception as e:
        if debug:
            traceback.print_exc()
        _say(words_of(e), "a bug of agentroute's own; --debug shows where")
        return 1


def _unread() -> int:
    """Who reads our output has gone away, as ``head`` does: nothing is wrong."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _click(name: str) -> Any:
    """A class of the click that typer runs on: newer typers carry one of their own."""
    home = importlib.import_module(typer.BadParameter.__module__)
    return getattr(home, name)


def _say(message: str, hint: str) -> None:
    print(f"agentroute: {message}" + (f" ({hint})" if hint else ""), file=sys.stderr)


def _usage_hint(e: Any) -> str:
    ctx = getattr(e, "ctx", None)
    if ctx is None:
        return ""
    if ctx.info_name == "run" and "extra argument" in str(getattr(e, "message", "")):
        return "inputs are named: --input NAME=VALUE; agentroute graphs show GRAPH lists them"
    return f"see {ctx.command_path} --help"
