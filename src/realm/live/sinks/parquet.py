"""Decoded behavior as Parquet: a folder of part files, each whole.

One Parquet file cannot be read before it is closed, so a crash would cost all of it. Here every ten
seconds become a file of their own, written aside and renamed when it is whole; a process that is
killed loses the rows since the last part. pyarrow, pandas, polars and DuckDB read the folder as one
table. The columns are those of `realm.live.outputs`, and `filled`: the share of replaced samples of
each channel.
"""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from realm.files import atomic_path, make_folder
from realm.live.clock import now_s
from realm.live.outputs import TRUE, OutputInfo, Outputs, is_behavior, log_columns, values
from realm.live.sinks import Counters, Sink
from realm.locks import Lock

PART = re.compile(r"part-(\d{6,})\.parquet")
TYPES = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


class ParquetLog(Sink):
    """Writes rows in parts.

    Rows that came before a part could not be written are kept until it can be; the rows that come
    meanwhile are refused, so that memory is bounded and every row is either written or refused.

    Args:
        path: of the folder; one that holds anything is never written over.
        append: add parts to what is there, if it has the same columns.
        part_s: seconds that make one part.
    """

    def __init__(self, path: Path | str, append: bool = False, part_s: float = 10.0) -> None:
        self.path, self.append, self.part_s = Path(path), append, part_s
        self._info: OutputInfo | None = None
        self._open = False
        self._lock: Lock | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._since = 0.0  # when the first of them came

    def open(self, info: OutputInfo) -> None:
        """Create the folder, or continue in it.

        Raises:
            ValueError: it holds something already and may not be appended to, other columns, or
                another process writes it.
            OSError: it cannot be written.
        """
        self.close()
        schema = schema_of(info)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(
                f"{self.path}: expected a folder for the parts of the log, found a file; name "
                "another"
            )
        make_folder(self.path)
        self._lock = Lock(self.path)
        own = self.append or self._info is not None  # opened again after `close`
        try:
            self._next = _next_part(self.path, schema, own)
        except BaseException:
            self._lock.close()
            raise
        self._schema, self._info, self._open = schema, info, True

    def write(self, outputs: Outputs, status: Counters) -> None:
        """Take the rows; they are on the disk when their part is full, or at `close`.

        Raises:
            OSError: a part could not be written and these rows were not taken; the next call may
                succeed.
        """
        if not self._open or self._info is None:
            raise OSError(errno.EBADF, f"{self.path}: expected an open log; open it first")
        if self._waiting and now_s() - self._since >= self.part_s:
            self._write_part()
        if not self._waiting:
            self._since = now_s()
        self._waiting.append(_batch(self._schema, self._info, outputs))

    def close(self) -> None:
        """Write the last part; does nothing when closed.

        Raises:
            OSError: it could not be written; the message says how many rows are lost.
        """
        if not self._open:
            return
        self._open = False
        lost = sum(batch.num_rows for batch in self._waiting)
        try:
            if self._waiting:
                self._write_part()
        except OSError as error:
            raise OSError(
                error.errno, f"{error.strerror}; its last {lost} rows are lost"
            ) from error
        finally:
            self._waiting = []
            if self._lock is not None:
                self._lock.close()

    def _write_part(self) -> None:
        table = pa.Table.from_batches(self._waiting, self._schema)
        if not self.path.is_dir():
            raise OSError(errno.ENOENT, f"{self.path}: the log was removed while it was written")
        with atomic_path(self.path / f"part-{self._next:06d}.parquet") as temporary:
            pq.write_table(table, temporary)
        self._next += 1
        self._waiting = []


def schema_of(info: OutputInfo) -> pa.Schema:
    """Columns with their types and units; the facts of `OutputInfo` are metadata under `realm`."""
    fields = []
    for name, column in log_columns(info):
        unit = {"unit": column.unit} if is_behavior(name) else None
        fields.append(pa.field(name, TYPES[column.dtype], metadata=unit))
    fields.append(pa.field("filled", pa.list_(pa.float32(), len(info.channel_names))))
    return pa.schema(fields, metadata={"realm": json.dumps(info._asdict())})


def _batch(schema: pa.Schema, info: OutputInfo, outputs: Outputs) -> pa.RecordBatch:
    arrays: list[Any] = [
        pa.array(column, schema.field(name).type, from_pandas=name.startswith(TRUE))
        for (name, _), column in zip(log_columns(info), values(outputs), strict=True)
    ]
    flat = pa.array(np.asarray(outputs.filled, np.float32).ravel())
    arrays.append(pa.FixedSizeListArray.from_arrays(flat, len(info.channel_names)))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _next_part(folder: Path, schema: pa.Schema, may_exist: bool) -> int:
    """Number of the first part to write."""
    # What a killed process left behind begins with a dot; no reader looks at it.
    found = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if found and not may_exist:
        raise ValueError(
            f"{folder}: expected a new or empty folder for the log, found {found[0]} in it; name "
            f"another, or add to it with parquet:{folder}?append=yes"
        )
    numbers = []
    for name in found:
        part = PART.fullmatch(name)
        if part is None or not _has(folder / name, schema):
            raise ValueError(
                f"{folder}: expected parts of a log with the columns {', '.join(schema.names)}, "
                f"found {name}, which is something else; name another folder"
            )
        numbers.append(int(part[1]))
    return max(numbers, default=-1) + 1


def _has(path: Path, schema: pa.Schema) -> bool:
    """Whether a file has these columns, in these units."""
    try:
        found = pq.read_schema(path)
    except (OSError, pa.ArrowInvalid):
        return False
    return _columns(found) == _columns(schema)


def _columns(schema: pa.Schema) -> list[Any]:
    return [(field.name, field.type, (field.metadata or {}).get(b"unit")) for field in schema]
