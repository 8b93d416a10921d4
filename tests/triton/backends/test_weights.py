"""Memory that only loading needed goes back to the system; in a process of its own, as a stub is."""

import subprocess
import sys
from pathlib import Path

BACKENDS = Path(__file__).parents[3] / "triton" / "backends"
SCRIPT = """
import mmap, sys, types
sys.path.insert(0, sys.argv[1])
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
from modelport_backend import give_back_weights

def resident_kb(path):
    found = 0
    for entry in open("/proc/self/smaps").read().split("VmFlags")[:-1]:
        if path in entry:
            found += int(entry.partition("Rss:")[2].split()[0])
    return found

maps, before = {}, {}
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        maps[path] = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
    assert maps[path][:] == b"weights!" * (1 << 16)
    before[path] = resident_kb(path)
give_back_weights()
for path in maps:
    print(before[path], resident_kb(path))
assert all(one[:] == b"weights!" * (1 << 16) for one in maps.values())
"""


def test_mapped_weights_are_given_back_and_read_again_where_they_are_needed(tmp_path):
    paths = [tmp_path / "model of mine.bin", tmp_path / "data.npy"]
    for path in paths:
        path.write_bytes(b"weights!" * (1 << 16))
    command = [sys.executable, "-P", "-c", SCRIPT, str(BACKENDS), *map(str, paths)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given_back, kept = ([int(one) for one in line.split()] for line in output.splitlines())
    assert given_back[0] > given_back[1] == 0
    assert kept[1] > 0
