"""How much memory there is, on machines and in containers that are made of files here."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelzoo.errors import ZooError
from modelzoo.resources import available_memory_gb, check_disk

MEMINFO = "MemTotal: 32000000 kB\nMemAvailable: 16000000 kB\n"
STAT = "cache 5\ninactive_file 500000000\ntotal_inactive_file 1000000000\n"
V1 = {"memory.limit_in_bytes": "8000000000", "memory.usage_in_bytes": "3000000000", "memory.stat": STAT}
V2 = {"memory.max": "8000000000", "memory.current": "3000000000", "memory.stat": "inactive_file 500000000\n"}


def write(directory: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def below(directory: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{directory}/{name}": content for name, content in files.items()}


@pytest.mark.parametrize(
    ("membership", "groups", "expected_gb"),
    [
        pytest.param(None, {}, 16.384, id="a kernel without control groups"),
        pytest.param("0::/user.slice\n", {}, 16.384, id="no limit"),
        pytest.param("0::/a/b\n", below("a/b", V2 | {"memory.max": "max"}), 16.384, id="version 2, limit max"),
        pytest.param("0::/a/b\n", below("a", V2), 5.5, id="version 2, limit of the group above"),
        pytest.param("0::/\n", V2, 5.5, id="version 2, container"),
        pytest.param("3:cpu:/a\n4:memory:/a\n", below("memory/a", V1), 6.0, id="version 1"),
        pytest.param("4:memory:/docker/123\n", below("memory", V1), 6.0, id="version 1, container"),
        pytest.param(
            "4:memory:/\n",
            below("memory", V1 | {"memory.limit_in_bytes": str(2**63)}),
            16.384,
            id="version 1, no limit",
        ),
    ],
)
def test_available_memory(tmp_path, membership, groups, expected_gb):
    write(tmp_path / "proc", {"meminfo": MEMINFO} | ({"self/cgroup": membership} if membership else {}))
    write(tmp_path / "cgroup", groups)
    assert available_memory_gb(tmp_path / "proc", tmp_path / "cgroup") == pytest.approx(expected_gb)


def test_memory_is_unknown_where_there_is_no_proc(tmp_path):
    assert available_memory_gb(tmp_path, tmp_path) is None


def test_too_little_disk_is_said_with_what_is_needed_and_what_there_is(tmp_path):
    check_disk(tmp_path / "not" / "there" / "yet", 0.0, "nothing")
    with pytest.raises(ZooError, match=r"building the models needs about 1000000.0 GB of disk below .* GB are free"):
        check_disk(tmp_path / "not" / "there" / "yet", 1e6, "building the models")
