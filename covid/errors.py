"""The one exception that means: the user can mend this."""


class DataError(Exception):
    """Something the user gave (a file, a folder, an option) cannot be used; the message names it and says what to do.

    The command line prints the message alone, without a traceback.
    """
