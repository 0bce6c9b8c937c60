"""The command `asrkit` itself: options before the verb, and what is said when a verb fails."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from asrkit.allocator import keep_freed_memory
from asrkit.cli.answers import answer_in_json
from asrkit.config.plugins import import_plugin
from asrkit.errors import UserError
from asrkit.failures import explain_failure
from asrkit.files import write_text
from asrkit.output import forgive
from asrkit.signals import INTERRUPTED, TRY_AGAIN, StoppedBySignalError, end_by_exception
from asrkit.terminal import complain, log_to_stderr
from asrkit.utf8 import use_utf8

GOES_ON = "what was saved is intact: the same command continues from there"


def tell_launcher(message: str) -> None:
    """Writes a message for torchrun, if it started this process, to show as the reason."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        extra = {"py_callstack": message, "timestamp": str(int(time.time()))}
        text = json.dumps({"message": {"message": message, "extraInfo": extra}})
        write_text(Path(path), text)


class Verbs(click.Group):
    """Turns problems that users can fix into one message and exit code 2."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Adds a verb, or a group of them; each answers in JSON if it is asked to."""
        answer_in_json(cmd)
        super().add_command(cmd, name)

    def main(self, *args: Any, **settings: Any) -> Any:
        """Runs the command; if it is this process's own, its text is UTF-8 in every locale."""
        if not args and settings.get("args") is None:
            use_utf8()
        return super().main(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            if ctx.params.get("debug"):
                raise
            complain(str(error))
            tell_launcher(str(error))
            ctx.exit(error.exit_code)
        except (OSError, RuntimeError, MemoryError) as error:
            message = explain_failure(error)
            if message is None or ctx.params.get("debug"):
                raise
            complain(message)
            tell_launcher(message)
            ctx.exit(2)
        except KeyboardInterrupt:
            complain("interrupted; " + GOES_ON)
            ctx.exit(INTERRUPTED)
        except StoppedBySignalError as stop:
            complain(f"stopped by {stop.name}; {GOES_ON}")
            ctx.exit(TRY_AGAIN)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
@click.option("--plugin", multiple=True, metavar="MODULE", help="Import a module with more names.")
@click.version_option(package_name="asrkit")
def main(debug: bool, plugin: tuple[str, ...]) -> None:
    """Trains speech recognisers from scratch, described in YAML.

    A recipe's run.sh calls these verbs in order: tokenizer, check, train, average, decode, score.
    `asrkit data` makes sets of your own audio. Any value of a spec can be changed on the command
    line: training.epochs=20.
    """
    forgive("stderr")
    log_to_stderr()
    keep_freed_memory()
    end_by_exception()
    for name in plugin:
        import_plugin(name, "--plugin")
