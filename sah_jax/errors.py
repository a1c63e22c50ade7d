"""The one exception that a user is meant to read."""

EXIT_CODE = 2


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one sentence that says what was got, what was expected and what to
    change; the command line prints it without a traceback and exits with code `EXIT_CODE`.
    """
