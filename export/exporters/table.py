"""Text tables."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines with aligned columns.

    By hand, because rich fits tables to the terminal, and these are also read by programs and kept in files.

    Args:
        rows: of one length; the first one is usually the head.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
