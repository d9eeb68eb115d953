"""What a person who watches a run sees: warnings and results; all else is in the logs.

Kedro logs four lines per node. In a terminal they are left to the log files, and one line per
part of the pipeline takes their place. Piped output keeps every line.
"""

import logging
import textwrap
from typing import Final

WIDTH: Final = 100
"""Maximum width of a line, in columns."""

_MARK: Final = "! "


class WatchedHandler(logging.Handler):
    """Prints warnings and errors above the progress, wrapped at words."""

    def __init__(self) -> None:
        """Create the handler."""
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print_wrapped(record.getMessage(), _MARK, " " * len(_MARK))


def is_terminal() -> bool:
    """Return whether a person watches the output."""
    import rich

    console = rich.get_console()
    # With FORCE_COLOR rich treats every output as a terminal, even a file.
    return console.is_terminal and console.file.isatty()


def watch() -> None:
    """Leave all messages below warnings to the log files, if a person watches the output."""
    if not is_terminal():
        return
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)
            root.addHandler(WatchedHandler())


def is_watched() -> bool:
    """Return whether ``watch`` has replaced the lines of the log."""
    return any(isinstance(handler, WatchedHandler) for handler in logging.getLogger().handlers)


def print_wrapped(text: str, mark: str = "", indent: str = "") -> None:
    """Print a text, wrapped at words.

    Args:
        text: The text; blanks at its beginning are kept.
        mark: Beginning of its first line.
        indent: Beginning of the other lines.
    """
    print_line("\n".join(wrap(text, mark, indent)))


def wrap(text: str, mark: str = "", indent: str = "") -> list[str]:
    """Break a text into lines of the console's width, 100 columns at most.

    Args:
        text: The text.
        mark: Beginning of its first line.
        indent: Beginning of the other lines.

    Returns:
        The lines; only a word that is longer than a line exceeds the width.
    """
    import rich

    return textwrap.wrap(
        text,
        min(rich.get_console().width, WIDTH),
        initial_indent=mark,
        subsequent_indent=indent,
        break_long_words=False,  # a path that is cut cannot be copied
        break_on_hyphens=False,
    )


def print_line(line: str) -> None:
    """Print a line as it is, however long it is.

    Args:
        line: The line, without markup.
    """
    import rich

    rich.get_console().print(line, soft_wrap=True, markup=False, highlight=False)
