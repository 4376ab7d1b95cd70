"""Files that are whole or not there: errors leave what was there before, torn lines are cut."""

import errno
from pathlib import Path
from typing import Any

import pytest

from worldmodel.files import JsonLines, atomic_file, atomic_folder, read_json_lines, write_file, write_json


def test_a_file_is_replaced_in_one_step_and_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, 2]})
    assert path.read_text() == '{\n "\\u00e9": [\n  1,\n  2\n ]\n}\n'
    write_file(path, "é")
    assert path.read_bytes() == "é".encode()
    write_file(path, b"\x00")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"\x00"
        raise RuntimeError
    assert path.read_bytes() == b"\x00" and list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_in_one_step_and_stays_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    for content in ("one", "two"):
        with atomic_folder(path) as fresh:
            (fresh / "inner").mkdir(parents=True)
            (fresh / "inner" / "file").write_text(content)
    with pytest.raises(RuntimeError), atomic_folder(path) as fresh:
        fresh.mkdir()
        raise RuntimeError
    assert (path / "inner" / "file").read_text() == "two" and list(path.parent.iterdir()) == [path]


def test_torn_lines_end_a_journal_and_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    assert read_json_lines(path) == []
    journal = JsonLines(path)
    journal.add({"b": 1, "a": 2})
    journal.add({"c": None}, durable=True)
    records = read_json_lines(path)
    assert [record for record, _ in records] == [{"b": 1, "a": 2}, {"c": None}]
    assert records[-1][1] == path.stat().st_size
    for torn in (b'{"d": 4', b'{"d": 4}', b"[]\n", b"\xff\n"):
        with path.open("ab") as file:
            file.write(torn)
        assert read_json_lines(path) == records
        journal.cut(records[-1][1])
    journal.add({"d": 4})
    assert len(read_json_lines(path)) == 3
    journal.close()
    journal.close()


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = JsonLines(tmp_path / "lines.jsonl")
    journal.add({"a": 1})

    class Full:
        """A disk that takes three bytes more."""

        def __init__(self, file: Any) -> None:
            self.file, self.fileno = file, file.fileno

        def write(self, line: bytes) -> int:
            return int(self.file.write(line[:3]))

    monkeypatch.setattr(journal, "_file", Full(journal._file))
    with pytest.raises(OSError) as error:
        journal.add({"b": 2})
    assert error.value.errno == errno.ENOSPC
    assert (tmp_path / "lines.jsonl").read_bytes() == b'{"a": 1}\n'
