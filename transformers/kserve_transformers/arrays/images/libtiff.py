"""libtiff's messages go to the log: by itself it prints them on standard error, and Pillow cannot change that."""

import ctypes
import logging
import re
from pathlib import Path

_LIBRARY = re.compile(r"\S*/libtiff[^/\s]*\.so\S*")
_MAX_CHARACTERS = 300
_logger = logging.getLogger(__name__)
_c = ctypes.CDLL(None)


# A C function's arguments of any number are passed on by a pointer, on x86-64 and on ARM64.
def _log(module: bytes | None, form: bytes, arguments: int) -> None:
    text = ctypes.create_string_buffer(_MAX_CHARACTERS)
    _c.vsnprintf(text, ctypes.c_size_t(_MAX_CHARACTERS), form, ctypes.c_void_p(arguments))
    _logger.info("libtiff: %s: %s", (module or b"").decode(errors="replace"), text.value.decode(errors="replace"))


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_log)  # lives as long as libtiff


def log_messages() -> None:
    """Let the libtiff that Pillow has loaded write its warnings and errors to the log, where it can be found."""
    maps = Path("/proc/self/maps")
    found = _LIBRARY.search(maps.read_text()) if maps.exists() else None
    if found is not None:
        library = ctypes.CDLL(found[0])
        library.TIFFSetErrorHandler(_HANDLER)
        library.TIFFSetWarningHandler(_HANDLER)
