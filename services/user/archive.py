"""A zip archive that goes to the object store in parts while it is written: never all in memory.

The archive appears under its key when it is finished, and not before.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from io import RawIOBase
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from libs.storage.objects import ObjectStore

# The store takes at most 10,000 parts: they grow, so that 450 GB fit.
FIRST_PART_BYTES = 8 * 2**20
PARTS_OF_A_SIZE = 1_000


class Pipe(RawIOBase):
    """What was written and not taken yet. It cannot seek, so the archive is written in one go."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        """Take everything."""
        self.waiting += data
        return len(data)

    def take(self, size: int) -> bytes:
        """The first bytes that wait."""
        taken = bytes(self.waiting[:size])
        del self.waiting[:size]
        return taken


class Archive:
    """One archive under way. Methods that send raise StorageUnavailable."""

    def __init__(self, store: ObjectStore, key: str, upload_id: str, now: datetime) -> None:
        self.store, self.key, self.upload_id = store, key, upload_id
        self._date = now.timetuple()[:6]
        self._pipe = Pipe()
        self._zip = ZipFile(self._pipe, "w")
        self._list: Any = None
        self._tags: list[str] = []
        self.size_bytes = 0

    async def add(self, name: str, body: bytes, *, packed: bool = True) -> None:
        """A whole file; pictures need no packing."""
        self.end_list()
        self._zip.writestr(self._entry(name, packed), body)
        await self._send_full_parts()

    async def add_rows(self, name: str, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of a JSON file; calls that follow each other with one name go on with it."""
        if self._list is None or self._list.name != name:
            self.end_list()
            self._list = JsonList(name, self._zip.open(self._entry(name), "w", force_zip64=True))
        for row in rows:
            self._list.add(row)
        await self._send_full_parts()

    def end_list(self) -> None:
        """Close the JSON file that is open, if one is."""
        if self._list is not None:
            self._list.end()
            self._list = None

    async def finish(self) -> None:
        """Send the rest: the archive is there."""
        self.end_list()
        self._zip.close()
        await self._send_full_parts()
        await self._send(len(self._pipe.waiting))
        await self.store.finish_upload(self.key, self.upload_id, self._tags)

    def _entry(self, name: str, packed: bool = True) -> ZipInfo:
        entry = ZipInfo(name, self._date)
        entry.compress_type = ZIP_DEFLATED if packed else ZIP_STORED
        return entry

    async def _send_full_parts(self) -> None:
        while len(self._pipe.waiting) >= (size := self._part_bytes()):
            await self._send(size)

    def _part_bytes(self) -> int:
        return FIRST_PART_BYTES * (1 + len(self._tags) // PARTS_OF_A_SIZE)

    async def _send(self, size: int) -> None:
        part = self._pipe.take(size)
        number = len(self._tags) + 1
        self._tags.append(await self.store.put_part(self.key, self.upload_id, number, part))
        self.size_bytes += len(part)


class JsonList:
    """A JSON array, one row a line."""

    def __init__(self, name: str, file: Any) -> None:
        self.name, self._file, self._between = name, file, "[\n"

    def add(self, row: dict[str, Any]) -> None:
        """One more row."""
        self._file.write((self._between + json.dumps(row, ensure_ascii=False)).encode())
        self._between = ",\n"

    def end(self) -> None:
        """Close the array."""
        self._file.write(b"[]\n" if self._between == "[\n" else b"\n]\n")
        self._file.close()
