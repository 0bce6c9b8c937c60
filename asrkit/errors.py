"""The one exception that reaches users as a plain message.

The command line prints a `UserError` without a traceback and exits with its code, by default 2;
every other exception is a bug in asrkit and keeps its traceback.
"""


class UserError(Exception):
    """A problem that users can fix: says what, where, what was expected and what to do."""

    exit_code: int = 2
