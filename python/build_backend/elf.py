"""What an ELF file asks of the system it is loaded into: machine, loader, libraries, versions of symbols."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64", 0x03: "i686", 0x28: "armv7l", 0x15: "ppc64le", 0x16: "s390x", 0xF3: "riscv64"}
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_VERNEED, _DT_VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF


class FormatError(ValueError):
    """The file is not ELF, or breaks its rules."""


@dataclass(frozen=True)
class Needs:
    """What one file asks for."""

    machine: str
    interpreter: str | None  # the program loader that an executable names
    libraries: tuple[str, ...]
    versions: tuple[str, ...]  # versions of symbols, such as GLIBC_2.34

    @property
    def musl(self) -> bool:
        """The file is made for musl."""
        names = (self.interpreter or "", *self.libraries)
        return any("musl" in name for name in names)

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The newest GLIBC version among the symbols, None when there is none."""
        numbers = [name[len("GLIBC_") :].split(".") for name in self.versions if name.startswith("GLIBC_")]
        plain = [(int(parts[0]), int(parts[1])) for parts in numbers if len(parts) >= 2 and "".join(parts).isdigit()]
        return max(plain, default=None)


class _Reader:
    def __init__(self, data: bytes) -> None:
        if data[:4] != b"\x7fELF" or len(data) < 64 or data[4] not in (1, 2) or data[5] not in (1, 2):
            raise FormatError("not an ELF file")
        self.data = data
        self.wide = data[4] == 2
        self.order = "<" if data[5] == 1 else ">"

    def unpack(self, layout: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + layout, self.data, offset)
        except struct.error as error:
            raise FormatError(f"ends within a table: {error}") from None

    def text(self, offset: int) -> str:
        end = self.data.find(b"\0", offset)
        if offset < 0 or end < 0:
            raise FormatError("a name has no end")
        return self.data[offset:end].decode("utf-8", "replace")

    def segments(self) -> list[tuple[int, int, int, int]]:
        """Program headers as (kind, offset, address, size in the file)."""
        if self.wide:
            (start,) = self.unpack("Q", 32)
            size, count = self.unpack("HH", 54)
        else:
            (start,) = self.unpack("I", 28)
            size, count = self.unpack("HH", 42)
        found = []
        for offset in range(start, start + size * count, size or 1):
            if self.wide:
                kind, _, at, address, _, length, _, _ = self.unpack("IIQQQQQQ", offset)
            else:
                kind, at, address, _, length, _, _, _ = self.unpack("IIIIIIII", offset)
            found.append((kind, at, address, length))
        return found


def read(path: Path) -> Needs:
    """Reads one file; FormatError when it is not ELF."""
    reader = _Reader(path.read_bytes())
    (machine,) = reader.unpack("H", 18)
    segments = reader.segments()
    interpreter = next((reader.text(at) for kind, at, _, _ in segments if kind == _PT_INTERP), None)

    def position(address: int) -> int:
        for kind, at, start, length in segments:
            if kind == _PT_LOAD and start <= address < start + length:
                return at + address - start
        raise FormatError(f"address {address:#x} is in no segment")

    tags: dict[int, int] = {}
    needed: list[int] = []
    for kind, at, _, length in segments:
        if kind == _PT_DYNAMIC:
            for tag, value in _dynamic(reader, at, length):
                if tag == _DT_NEEDED:
                    needed.append(value)
                tags[tag] = value
    if _DT_STRTAB not in tags:
        return Needs(_MACHINES.get(machine, f"machine{machine}"), interpreter, (), ())
    names = position(tags[_DT_STRTAB])
    versions: list[str] = []
    if _DT_VERNEED in tags:
        versions = _versions(reader, position(tags[_DT_VERNEED]), tags.get(_DT_VERNEEDNUM, 0), names)
    libraries = tuple(reader.text(names + offset) for offset in needed)
    return Needs(_MACHINES.get(machine, f"machine{machine}"), interpreter, libraries, tuple(sorted(set(versions))))


def _dynamic(reader: _Reader, start: int, length: int) -> list[tuple[int, int]]:
    layout, size = ("QQ", 16) if reader.wide else ("II", 8)
    entries = []
    for offset in range(start, start + length, size):
        tag, value = reader.unpack(layout, offset)
        if tag == 0:
            break
        entries.append((tag, value))
    return entries


def _versions(reader: _Reader, start: int, count: int, names: int) -> list[str]:
    """Names of the versions that .gnu.version_r asks of each library."""
    found = []
    for _ in range(count):
        _, entries, _, first, step = reader.unpack("HHIII", start)
        offset = start + first
        for _ in range(entries):
            _, _, _, name, ahead = reader.unpack("IHHII", offset)
            found.append(reader.text(names + name))
            if ahead == 0:
                break
            offset += ahead
        if step == 0:
            break
        start += step
    return found
