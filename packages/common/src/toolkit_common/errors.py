"""The one exception that means: the user can mend this."""


class InputError(ValueError):
    """Bad input or configuration, in one line: what is wrong, where, and what to do.

    The command line prints the line and exits with code 2; anything else that escapes a command
    is a fault of ours and keeps its traceback.
    """
