"""Archives that come out the same whenever they are made: sorted, one time for all, no owners."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
import tarfile
import time
import zipfile
from pathlib import Path

# The earliest time that a zip archive can hold, for want of SOURCE_DATE_EPOCH.
_EARLIEST = 315_532_800


def epoch() -> int:
    """Seconds that every file in an archive is dated."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH") or _EARLIEST), _EARLIEST)


def write_zip(path: Path, files: dict[str, bytes], info: str) -> None:
    """Writes a wheel. info: the .dist-info folder, whose files come last and which gets RECORD."""
    names = sorted(files, key=lambda name: (name.startswith(info), name))
    record = [f"{_quoted(name)},sha256={_digest(files[name])},{len(files[name])}" for name in names]
    own = f"{info}/RECORD"
    content = "".join(f"{line}\n" for line in [*record, f"{own},,"]).encode()
    date = time.gmtime(epoch())[:6]
    with zipfile.ZipFile(path, "w") as archive:
        for name in [*names, own]:
            entry = zipfile.ZipInfo(name, date)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (0o100755 if name.endswith(".so") else 0o100644) << 16
            archive.writestr(entry, content if name == own else files[name])


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    """Writes a source distribution."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(files[name]), epoch(), 0o644
            archive.addfile(entry, io.BytesIO(files[name]))
    with path.open("wb") as file, gzip.GzipFile("", "wb", 9, file, epoch()) as packed:
        packed.write(buffer.getvalue())


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _quoted(name: str) -> str:
    return f'"{name}"' if "," in name else name
