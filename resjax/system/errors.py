"""What ends a command with one line on stderr and no traceback."""


class UserError(Exception):
    """Bad input: the message names the value and what would be right. Exit code 2."""

    exit_code = 2


class Failure(UserError):
    """Not the user's doing: a damaged file, a full disk. Exit code 1."""

    exit_code = 1


class Stopped(UserError):
    """SIGTERM or SIGINT arrived and everything is saved. Exit code 128 + signal."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
