"""The cores that a pod or a machine really has: affinity, and quotas of both versions of control groups."""

import math
import os

import pytest

from modelport.measure.tune.cores import Cores, cores

V1 = "4:memory:/\n3:cpu,cpuacct:{0}\n2:cpuset:/\n1:name=systemd:/\n"
V2 = "0::{0}\n"


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        pytest.param(V2.format("/"), {"cpu.max": "150000 100000"}, 1.5, id="v2, a container's root"),
        pytest.param(V2.format("/"), {"cpu.max": "max 100000"}, math.inf, id="v2 without a quota"),
        pytest.param(V2.format("/"), {}, math.inf, id="v2, a machine's root"),
        pytest.param(
            V2.format("/pod/box"),
            {"cpu.max": "max 100000", "pod/cpu.max": "200000 100000", "pod/box/cpu.max": "400000 100000"},
            2.0,
            id="v2, the least of nested groups",
        ),
        pytest.param(
            V2.format("/kubepods/pod7/box"), {"cpu.max": "50000 100000"}, 0.5, id="v2, a path that only the host has"
        ),
        pytest.param("0::/../../other\n", {"cpu.max": "50000 100000"}, 0.5, id="v2, a path above the namespace"),
        pytest.param(
            V1.format("/"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "250000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            2.5,
            id="v1, mounted by both controllers",
        ),
        pytest.param(
            V1.format("/docker/1"),
            {"cpu/docker/1/cpu.cfs_quota_us": "300000", "cpu/docker/1/cpu.cfs_period_us": "50000"},
            6.0,
            id="v1, mounted by one",
        ),
        pytest.param(
            V1.format("/"), {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf, id="v1 without"
        ),
        pytest.param(
            V1.format("/") + V2.format("/"),
            {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000", "unified/cpu.max": "max 100000"},
            1.0,
            id="both versions",
        ),
        pytest.param(V2.format("/"), {"cpu.max": "nonsense"}, math.inf, id="a file that nobody understands"),
        pytest.param(None, {}, math.inf, id="no control groups"),
    ],
)
def test_quota(groups, files, quota, tmp_path):
    if groups is not None:
        files = {**{f"sys/fs/cgroup/{name}": text for name, text in files.items()}, "proc/self/cgroup": groups}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == Cores(len(os.sched_getaffinity(0)), quota)


@pytest.mark.parametrize(
    ("usable", "quota", "count"),
    [(8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2), (1, math.inf, 1)],
)
def test_cores_to_share(usable, quota, count):
    assert Cores(usable, quota).count == count


def test_affinity_narrows_them():
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        assert cores().usable == cores().count == 1
    finally:
        os.sched_setaffinity(0, usual)


def test_a_quota_is_told():
    assert [str(Cores(8, 1.5)), str(Cores(1)), str(Cores(2, 16.0))] == [
        "8 cores, limited to 1.5 by a control group",
        "1 core",
        "2 cores",
    ]
