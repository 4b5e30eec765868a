"""Files with other contents for one process, and for nobody else."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from podfence.errors import HostError
from podfence.kernel import mounts

pytestmark = pytest.mark.kernel
CODE = """
import sys
from podfence.kernel.mounts import cover
cover({sys.argv[1]: "other\\n", sys.argv[2]: "absent\\n"})
print(open(sys.argv[1]).read(), end="")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_SYS_ADMIN")
@pytest.mark.parametrize("link", [False, True])
def test_a_file_is_covered_for_one_process(tmp_path: Path, link: bool) -> None:
    file = tmp_path / "file"
    file.write_text("own\n")
    asked = file
    if link:
        asked = tmp_path / "link"
        asked.symlink_to(file)
    before = set(os.listdir("/tmp"))
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(asked), str(tmp_path / "absent")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "other\n"
    assert file.read_text() == "own\n"
    assert not (tmp_path / "absent").exists()
    assert not {name for name in set(os.listdir("/tmp")) - before if name.startswith("podfence-")}


def test_a_kernel_that_forbids_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(flags: int) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(mounts._LIBC, "unshare", forbidden)
    with pytest.raises(HostError, match="unshare: Operation not permitted"):
        mounts.cover({})
