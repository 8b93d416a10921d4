"""What the whole stack costs, and who can reach it."""

import os
import re
import time
from pathlib import Path

import psutil
import pytest
from processes import matching
from serving import served

from modelport.stack.stubs import STUB

GIB = 1024**3


@pytest.fixture
def processes(stack):
    """Triton, its backend processes, the transformer server and the guards: all that the fixture started."""
    port = stack.triton_http.rpartition(":")[2]  # Triton's own argument, its region prefix, the transformer's predictor
    found = matching(port, under=os.getpid(), guards=True)
    assert len(found) >= 10
    return found


def test_all_services_fit_in_two_and_a_half_gibibytes(processes):
    assert sum(process.memory_full_info().pss for process in processes) < 2.5 * GIB


def test_backends_run_by_openvino_and_without_a_framework(processes):
    stubs = [process for process in processes if process.name().startswith(STUB[:15])]
    mapped = {process.cmdline()[1]: Path(f"/proc/{process.pid}/maps").read_text() for process in stubs}
    packages = {path: set(re.findall(r"/site-packages/(\w+)/", maps)) for path, maps in mapped.items()}
    assert {Path(path).name for path in packages} == {"model.onnx", "model.pt", "model.savedmodel"}
    for path, found in packages.items():
        engines = found & {"onnxruntime", "openvino", "torch", "tensorflow"}
        assert engines == {"onnxruntime" if path.endswith(".onnx") else "openvino"}, path


def test_models_with_long_inferences_yield_to_the_others(processes):
    stubs = [process for process in processes if process.name().startswith(STUB[:15])]
    niceness = {Path(process.cmdline()[1]).parts[-3]: process.nice() for process in stubs}
    assert niceness["mnist"] == niceness["anomaly"] == os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness["wide_resnet50_2"] == niceness["cars"] == min(19, niceness["mnist"] + 10)


def test_no_process_of_python_looks_for_modules_in_its_working_directory(processes):
    """There, triton and transformers would be our folders; a stub's is build/triton."""
    pythons = [process for process in processes if Path(process.exe()).name.startswith("python")]
    assert len(pythons) >= 3, "two guards and the transformers"
    for process in pythons:
        safe = {"-P", "-IS"} & set(process.cmdline()[:3]) or process.environ().get("PYTHONSAFEPATH")
        assert safe, process.cmdline()


def test_every_port_is_on_loopback(processes):
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_idle_stack_takes_less_than_five_percent_of_a_core(exported, tmp_path):
    """With its supervisor; processor time, so that other processes of the machine do not count."""
    with served(tmp_path / "log") as (process, _):
        whole = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]

        def used_s() -> float:
            return sum(one.cpu_times().user + one.cpu_times().system for one in whole)

        def idles() -> bool:
            before, began = used_s(), time.monotonic()
            time.sleep(60)
            return used_s() - before < 0.05 * (time.monotonic() - began)

        time.sleep(10)  # the first checks of a start, which last longer on a busy machine
        assert any(idles() for _ in range(5))
