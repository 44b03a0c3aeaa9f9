"""The one kind of error that is the user's to mend."""


class InputError(Exception):
    """Something given to us is wrong: a file, a key, a value, a port.

    Its text is one line, `place: key: reason; way out`, and every entry point shows it without a stack trace and exits
    with 2. Any other exception is a bug of ours and keeps its trace.
    """
