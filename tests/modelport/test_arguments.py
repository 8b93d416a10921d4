"""What commands share."""

import sys

from modelport.arguments import errors_in_one_line


class HalfMade:
    def __init__(self):
        raise KeyboardInterrupt

    def __del__(self):
        raise AttributeError("_stream")


def test_what_an_interruption_cut_short_says_nothing(monkeypatch, capsys):
    complaints = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    hook = sys.unraisablehook

    @errors_in_one_line(interrupted="interrupted: nothing was written")
    def main() -> int:
        HalfMade()
        return 0

    assert main() == 130
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
    assert (complaints, sys.unraisablehook) == ([], hook)
