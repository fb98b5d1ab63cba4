"""Text files: what they are packed, encoded and separated by, their columns, and where in them something is wrong."""

from __future__ import annotations

import codecs
import csv
import io
import logging
import lzma
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from gainkt.errors import ConfigError, DataError, nearest

_logger = logging.getLogger(__name__)
# A row must fit in one block; the longest histories of public data take a few megabytes as text.
_BLOCK_BYTES = 1 << 24
_HEAD_BYTES = 1 << 16
_PACKED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zip": "zip"}
_DELIMITERS = (",", "\t", ";", "|")
_BINARY = {
    b"\x1f\x8b": "it is packed by gzip: let its name end in .gz",
    b"BZh9": "it is packed by bzip2: let its name end in .bz2",
    b"\x28\xb5\x2f\xfd": "it is packed by zstd: let its name end in .zst",
    b"PK\x03\x04": "it is a zip archive or an Excel file: let its name end in .zip or .xlsx",
    b"PAR1": "it is a Parquet file: let its name end in .parquet",
    b"ARROW1": "it is a Feather file: let its name end in .feather",
    b"\xd0\xcf\x11\xe0": "it is an old Excel file",
    b"\x80\x04\x95": "it is a pickle",
    b"\x80\x05\x95": "it is a pickle",
}
"""First bytes of files that are no text."""
_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # starts as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError)
"""What reading a packed file may end in: it is damaged, locked by a password, or packed in an unknown way."""
_CELL = re.compile(r'(?:(?P<quoted>"(?:[^"]|"")*(?:"(?=[\t\r\n]|\Z)|\Z))|[^"\t\r\n]*)(?:[\t\r\n]|\Z)')
"""A cell between tabs, in quotes (perhaps cut off at the end of the text) or without any."""


class ReadError(DataError):
    """Data that a reader's default refuses; `settings` are the reader's settings that would read it, where known."""

    def __init__(self, message: str, **settings: object) -> None:
        super().__init__(message)
        self.settings = settings


def existing_file(path: str | Path) -> Path:
    """Return the path of a file that exists and is not empty.

    Raises:
        DataError: it is missing, a folder, empty, or may not be read.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the path of a file")
    if not path.is_file():
        raise DataError(f"{path}: no such file; check the path (relative paths start at {Path.cwd()})")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: may not be read by this user; change its permissions")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty; export it again")
    return path


def stem_of(path: Path) -> str:
    """Return a file's name without the endings of its packing and format."""
    return Path(path.stem).stem if path.suffix in _PACKED else path.stem


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, unpacked where its ending is .gz, .bz2, .zst or .zip (of one file).

    Raises:
        DataError: an archive of several files, or one that cannot be unpacked.
    """
    packing = _PACKED.get(path.suffix.lower())
    if packing is None:
        return path.open("rb")
    if packing != "zip":
        return cast(IO[bytes], pa.CompressedInputStream(pa.OSFile(str(path)), packing))
    try:
        archive = zipfile.ZipFile(path)
    except _UNREADABLE as error:
        raise _not_unpacked(path, error) from error
    inside = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX")]
    if len(inside) != 1:
        raise DataError(f"{path}: holds {len(inside)} files ({', '.join(inside[:4])}); unpack it and give one of them")
    try:
        return archive.open(inside[0])
    except _UNREADABLE as error:
        raise _not_unpacked(path, error) from error


def _not_unpacked(path: Path, error: Exception) -> DataError:
    """Return the error for a packed file that cannot be read."""
    what = str(error) or type(error).__name__
    if isinstance(error, NotImplementedError):  # such as Deflate64
        return DataError(
            f"{path}: is packed in a way that Python does not read ({what}), as Windows packs large files; unpack it"
        )
    if isinstance(error, RuntimeError) and "password" in what:
        return DataError(f"{path}: is locked by a password; unpack it")
    return DataError(f"{path}: cannot be unpacked ({what}); download or pack it again")


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file, unpacked.

    Raises:
        DataError: it is missing, empty, or cannot be unpacked.
    """
    with _Lines(existing_file(path)) as file:
        return file.read(_HEAD_BYTES)


def encoding_of(head: bytes) -> str:
    """Return the encoding that a file's first bytes tell: by their mark, UTF-16 by its zeros too, otherwise UTF-8."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for odd, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 3 and not any(head[odd:200:2]) and all(head[1 - odd : 200 : 2]):
            return encoding
    return "utf-8"


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file without their ends; empty lines at the end of the file are left out.

    Raises:
        DataError: the file is missing, empty, or not UTF-8.
    """
    path = existing_file(path)
    try:
        with _Lines(path) as file:
            lines = file.read().decode(encoding_of(head_of(path))).split("\n")
    except UnicodeDecodeError:
        raise wrong_bytes(path, "utf-8") from None
    lines = [line.strip().lstrip("\ufeff") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise DataError(f"{path}: the file holds empty lines only; export it again")
    return lines


@dataclass(frozen=True)
class TextTable:
    """A text file of cells with a header, and how it is to be read."""

    path: Path
    encoding: str
    delimiter: str
    quoted: bool
    """Whether cells may stand in double quotes."""
    header: list[str]

    @classmethod
    def look(
        cls, path: str | Path, wanted: Sequence[str] = (), delimiter: str | None = None, encoding: str | None = None
    ) -> TextTable:
        """Find out by its first lines how a file is to be read.

        Args:
            path: the file.
            wanted: columns that the header is meant to have; the delimiter under which most are found is taken.
            delimiter: of cells, if it is known.
            encoding: if it is known; "utf-8 or latin-1": the second where the bytes are not the first. A mark at the
                start of the file (BOM) counts more.

        Raises:
            ConfigError: no such encoding, or a delimiter of several characters or that no file is separated by.
            DataError: the file is missing, empty, or not text of that encoding.
        """
        path, head = Path(path), head_of(Path(path))
        looked = encoding is None or " or " in encoding
        encoding = _encoding(path, head, encoding)
        is_wide = encoding.startswith(("utf-16", "utf-32"))
        if (looked or encoding.startswith("utf-8")) and not is_wide and (what := _no_text(head)):
            raise DataError(f"{path}: is no text of UTF-8 ({what}); save it as CSV, or give dataset.read.encoding")
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head).lstrip("\ufeff")
        except LookupError:
            raise _no_encoding(encoding) from None
        except UnicodeDecodeError:
            raise wrong_bytes(path, encoding) from None
        except UnicodeError as error:
            raise DataError(
                f"{path}: dataset.read.encoding={encoding}: the file is not {encoding} ({error}); leave the setting "
                "out, so that it is found by looking"
            ) from None
        if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
            raise ConfigError(
                f"dataset.read.delimiter={delimiter!r}: must be one character of ASCII, such as ';' or a tab"
            )
        first = next((line for line in text.splitlines() if line.strip()), "")
        if not first:
            raise DataError(f"{path}: the file holds empty lines only; export it again")
        tried = []
        for mark in (delimiter,) if delimiter else _DELIMITERS:
            quoted = mark != "\t" or '"' in first
            rows = csv.reader(
                io.StringIO(text, newline=None), delimiter=mark, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
            )
            header = next((row for row in rows if row), [])
            known = {cell.strip() for cell in header}
            tried.append((sum(column in known for column in wanted), len(header), quoted, mark, header))
        best = max(tried, key=lambda one: one[:2])
        if first.lstrip()[:2] in ('{"', "[{"):
            raise DataError(f"{path}: is JSON; save it as CSV, or read it by pandas and give gainkt.read the DataFrame")
        if not best[0]:
            _refuse_lines_above(path, text, best[3], wanted)
        quoted = best[2] or _quotes_cells(path, encoding)
        return cls(path, encoding, best[3], quoted, best[4])

    def raw_names(self, columns: Sequence[str], *, repeats: bool = False) -> list[str]:
        """Return the header's own spelling of columns (blanks around a name do not count).

        Raises:
            DataError: a column is not there, or stands there twice.
        """
        names = [name.strip() for name in self.header]
        for column in columns:
            if column not in names:
                raise DataError(f"{self.path}: no column {column!r}{nearest(column, names)}")
            if names.count(column) > 1 and not repeats:
                raise DataError(
                    f"{self.path}: column {column!r} stands {names.count(column)} times; rename all but one"
                )
        return [self.header[names.index(column)] for column in columns]

    def read(self, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> pa.Table:
        """Return columns as text of the given Arrow types, in one chunk each; other columns are not read.

        Raises:
            DataError: as `blocks` does.
        """
        return pa.Table.from_batches(list(self.blocks(columns, types))).unify_dictionaries().combine_chunks()

    def blocks(self, columns: Sequence[str], types: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """Yield columns as text of the given Arrow types, some rows at a time; other columns are not read.

        Raises:
            DataError: a column is missing or twice there; a file ragged, without rows, or of another encoding; an open
                quote that has swallowed rows.
        """
        raw = self.raw_names(columns)
        rows, kinds = 0, {name: types[column] for name, column in zip(raw, columns, strict=True)}
        with _Lines(self.path) as file:
            for batch in self._stream(file, kinds):
                rows += batch.num_rows
                yield pa.RecordBatch.from_arrays(batch.columns, names=list(columns))
        if rows == 0:
            raise DataError(f"{self.path}: nothing but a header; export the file again with its rows")
        if self.quoted and file.lines != rows + 1:
            self._refuse_line_ends()

    def _stream(
        self, file: _Lines, types: Mapping[str, pa.DataType], columns_only: bool = True
    ) -> Iterator[pa.RecordBatch]:
        try:
            yield from pa.csv.open_csv(
                pa.PythonFile(file, mode="r"),
                read_options=pa.csv.ReadOptions(
                    block_size=_BLOCK_BYTES, encoding="utf8" if self.encoding.startswith("utf-8") else self.encoding
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char='"' if self.quoted else False,
                    newlines_in_values=self.quoted,
                ),
                convert_options=pa.csv.ConvertOptions(
                    include_columns=list(types) if columns_only else [],
                    column_types=types,
                    strings_can_be_null=False,
                ),
            )
        except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
            raise self._explained(error) from error

    def _refuse_line_ends(self) -> None:
        """Refuse cells, of any column, that go over several lines and hold rows: an open quote has swallowed them."""
        before = count = 0
        found: tuple[int, str, str] | None = None
        with _Lines(self.path) as file:
            for batch in self._stream(file, dict.fromkeys(self.header, pa.string()), False):
                for column, (name, cells) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
                    enough = pc.greater_equal(pc.count_substring(cells, self.delimiter), len(self.header) - 1)
                    several = pc.indices_nonzero(pc.and_(pc.match_substring(cells, "\n"), enough)).to_pylist()
                    rows = [row for row in several if self._swallows(cells[row].as_py(), column)]
                    count += len(rows)
                    if rows and found is None:
                        found = before + rows[0], name, cells[rows[0]].as_py()
                before += batch.num_rows
        if found is not None:
            row, name, text = found
            raise DataError(
                f"{self.path}: line {self.line_of(row)}: {name.strip()} goes over {text.count(chr(10)) + 1} lines and "
                f"starts with {text[:30]!r} (so in {count} rows): a quote is not closed and swallows the "
                "rows up to the next quote; close it or export the file again"
            )

    def _swallows(self, cell: str, column: int) -> bool:
        """Tell whether a cell is the end of a row from a column on, perhaps whole rows, and a row up to that column."""
        plain = not any(name[:1] == " " for name in self.header)
        if plain and cell.count(self.delimiter) == cell.count(f"{self.delimiter} "):  # a sentence
            return False
        more = len(self.header) - 1
        for text in {cell, cell.rstrip("\r\n")}:  # without the end of the file, which closes quotes
            lines = text.split("\n")
            counts = [line.count(self.delimiter) for line in lines]
            whole = all(count == more for count, line in zip(counts[1:-1], lines[1:-1], strict=True) if line.strip())
            if len(lines) > 1 and counts[0] == more - column and counts[-1] == column and whole:
                return True
        return False

    def line_of(self, row: int) -> int:
        """Return the line (from 1) on which a row (from 0, header not counted) starts.

        Walks through the file, since empty lines and line ends in quotes count: for error messages only.
        """
        filled = (line for line, cells in self.rows() if cells)
        return next(line for number, line in enumerate(filled) if number == row + 1)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line (from 1) on which each row starts, and its cells."""
        limit = csv.field_size_limit(sys.maxsize)
        try:
            with io.TextIOWrapper(cast(IO[bytes], _Lines(self.path)), self.encoding, newline="") as file:
                reader = csv.reader(
                    file, delimiter=self.delimiter, quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
                )
                line = 1
                for cells in reader:
                    yield line, cells
                    line = reader.line_num + 1
        finally:
            csv.field_size_limit(limit)

    def _explained(self, error: Exception) -> DataError:
        """Return the error for a file that Arrow refused, with the line where it can be told."""
        width = len(self.header)
        if "UTF" in str(error) or isinstance(error, UnicodeDecodeError):
            return wrong_bytes(self.path, self.encoding)
        try:
            ragged = [(line, len(cells)) for line, cells in self.rows() if cells and len(cells) != width]
        except UnicodeDecodeError:
            return wrong_bytes(self.path, self.encoding)
        if ragged:
            (line, found), more = ragged[0], f" (so in {len(ragged)} lines)" if len(ragged) > 1 else ""
            return DataError(
                f"{self.path}: line {line} has {found} cells, the header has {width}{more}; quote cells that hold "
                f"{self.delimiter!r}, export the file again, or say what separates cells by dataset.read.delimiter"
            )
        return DataError(f"{self.path}: cannot be parsed as CSV ({str(error).splitlines()[0]}); export the file again")


def _encoding(path: Path, head: bytes, given: str | None) -> str:
    """Return the encoding to read a file by: its mark's, or the one given, or what its bytes tell.

    Raises:
        ConfigError: there is no such encoding.
    """
    names = given.split(" or ") if given else []
    known = [_canonical(name) for name in names]
    found = encoding_of(head)
    if any(map(head.startswith, _MARKS)):
        if known and not found.startswith(known[0][:6]):
            _logger.warning("%s: read as %s, as its first bytes say, not as %s", path, found, given)
        return found
    if not names or (len(names) > 1 and found != "utf-8"):
        return found
    for name, one in zip(names[:-1], known[:-1], strict=True):
        if _decodes_whole(path, one):
            return name
    if len(names) > 1:
        _logger.info("%s: read as %s: it is no %s", path, names[-1], ", ".join(names[:-1]))
    return "utf-8" if known[-1] == "utf-8" else names[-1]


def _canonical(name: str) -> str:
    try:
        "a".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise _no_encoding(name) from None


def _no_encoding(name: str) -> ConfigError:
    return ConfigError(f"dataset.read.encoding={name}: no such encoding of text; latin-1 or utf-16, say")


def _pieces(path: Path, encoding: str) -> Iterator[str]:
    """Yield the text of a file, piece by piece."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with _Lines(path) as file:
        while data := file.read(_BLOCK_BYTES):
            yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def _decodes_whole(path: Path, encoding: str) -> bool:
    try:
        for _ in _pieces(path, encoding):
            pass
    except UnicodeError:
        return False
    return True


def _quotes_cells(path: Path, encoding: str) -> bool:
    """Tell whether a tab-separated file quotes cells, by the lines from the first that holds a quote on.

    Exports of DataShop do not quote: a quote there is a quote, anywhere in a cell. A file quotes where each cell with
    quotes is in quotes whole, those within it doubled.
    """
    text, pieces = "", _pieces(path, encoding)
    try:
        for piece in pieces:
            text += piece
            if '"' in text:
                break
            text = text[max(text.rfind("\n"), text.rfind("\r")) + 1 :]
    except UnicodeError:  # is refused when it is read
        return False
    if '"' not in text:
        return False
    text += next(pieces, "")
    first = text.index('"')
    start = max(text.rfind("\n", 0, first), text.rfind("\r", 0, first)) + 1
    text, at, found = text[start : start + _HEAD_BYTES], 0, False
    while at < len(text):
        cell = _CELL.match(text, at)
        inside = (cell and cell["quoted"]) or ""
        if cell is None or ("\t" in inside and ("\n" in inside or "\r" in inside)):  # a stray quote, and one far away
            return False
        found |= inside.endswith('"') and len(inside) > 1
        at = cell.end()
    return found


def _refuse_lines_above(path: Path, text: str, delimiter: str, wanted: Sequence[str]) -> None:
    """Refuse a file whose header is not its first line, if a line further down has the columns that are wanted."""
    for number, line in enumerate(text.splitlines()[:50]):
        for mark in dict.fromkeys((delimiter, *_DELIMITERS)):
            names = {cell.strip(' "').lower() for cell in line.split(mark)}
            if number and len(wanted) > 1 and {column.lower() for column in wanted} <= names:
                raise DataError(f"{path}: line {number + 1} is the header; remove the {number} lines above it")


def _no_text(head: bytes) -> str | None:
    """Say what a file that is no text seems to be, by its first bytes; None for text."""
    for mark, what in _BINARY.items():
        if head.startswith(mark):
            return what
    if head[257:262] == b"ustar":
        return "it is a tar archive, to be unpacked"
    return "it holds zero bytes, as UTF-16 and UTF-32 do" if b"\0" in head else None


class _Lines(io.RawIOBase):
    """A file, unpacked, as a stream that io's and Arrow's readers take, which counts the lines that it gave."""

    def __init__(self, path: Path) -> None:
        self.path, self.stream, self.ends, self.last = path, open_bytes(path), 0, b"\n"

    @property
    def lines(self) -> int:
        """Lines so far, the last one with or without an end."""
        return self.ends + (self.last != b"\n")

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            data = self.stream.read(size)
        except _UNREADABLE as error:
            raise _not_unpacked(self.path, error) from error
        self.ends += data.count(b"\n")
        self.last = data[-1:] or self.last
        return data

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.stream.close()
        super().close()


def wrong_bytes(path: Path, encoding: str) -> DataError:
    """Return the error for a file that is not text of an encoding, with the place of the first wrong byte."""
    with _Lines(path) as file:
        data = file.read()
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        at = error.start
        line, column = data.count(b"\n", 0, at) + 1, at - data.rfind(b"\n", 0, at)
        if encoding.startswith("utf-8"):
            lines = sum(not _decodes(line) for line in data.split(b"\n"))
            guess = next((name for name in ("latin-1", "cp1252") if _looks_western(data, name)), None)
            fits = [name for name in ("shift_jis", "gb18030", "euc_kr", "big5", "cp1251") if _decodes(data, name)]
            western = f"dataset.read.encoding={guess} reads it as Western European (others: {', '.join(fits)})"
            other = (
                f"give its encoding as dataset.read.encoding ({', '.join(fits) or 'none of the usual ones'} would do)"
            )
            return ReadError(
                f"{path}: line {line}, byte {column} is 0x{data[at]:02x}, not UTF-8 text ({lines} lines have such "
                f"bytes); {western if guess else other}, or save the file as UTF-8",
                **({"encoding": guess} if guess else {}),
            )
        return DataError(
            f"{path}: line {line}, byte {column} is not {encoding} ({error.reason}); "
            "dataset.read.encoding says which it is"
        )
    raise AssertionError(f"{path} is {encoding}")


def _looks_western(data: bytes, encoding: str) -> bool:
    """Tell whether bytes are text of one byte a character without control characters; most of it ASCII."""
    if not _decodes(data, encoding) or sum(byte > 127 for byte in data[:100_000]) > 0.3 * len(data[:100_000]):
        return False
    return not any("\x80" <= character < "\xa0" for character in data.decode(encoding))


def _decodes(line: bytes, encoding: str = "utf-8") -> bool:
    try:
        line.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
