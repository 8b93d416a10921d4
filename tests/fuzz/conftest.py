"""What the tests of this folder share: the corpus as modules, and a transformer server to break."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # corpus.py and bombs.py, for the tests and the fuzzer alike
