"""Lists of files in and out."""

import json
from pathlib import Path
from typing import Any

import pytest

from overtone import enhance_files
from overtone.errors import InvalidInputError
from overtone.manifest import read_manifest, results

ROWS = [
    {"source": "a.wav", "output": "out/a.flac", "speaker": 3},
    {"source": "b.wav", "output": None, "speaker": 4},
]


def test_json_lines_and_parquet_say_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    lines = tmp_path / "files.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    table = tmp_path / "files.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), table)
    expected = {"a.wav": "out/a.flac", "b.wav": None}
    assert read_manifest(lines) == read_manifest(table) == expected


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ("nonsense", "row 2: not JSON"),
        ("[1]", "row 2: not JSON"),
        ('{"output": "x.wav"}', 'row 2: has no "source"'),
        ('{"source": 4}', 'row 2: has no "source"'),
        ('{"source": "b.wav", "output": 4}', 'row 2: its "output" is 4'),
        ('{"source": "a.wav"}', r"row 2: a\.wav is there already"),
    ],
)
def test_a_bad_row_is_named_before_anything_is_done(
    tmp_path: Path, second: str, problem: str
) -> None:
    path = tmp_path / "files.jsonl"
    path.write_text('{"source": "a.wav"}\n' + second + "\n")
    with pytest.raises(InvalidInputError, match=problem):
        read_manifest(path)


@pytest.mark.parametrize(
    "name", ["files.csv", "gone.jsonl", "broken.parquet", "empty.jsonl", "latin.jsonl"]
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, name: str) -> None:
    contents = {"empty": b"", "latin": '{"source": "café.wav"}'.encode("latin-1")}
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(contents.get(name.partition(".")[0], b"PAR1 no more"))
    with pytest.raises(InvalidInputError, match=name):
        read_manifest(tmp_path / name)


def read_results(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.open()]
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def test_results_hold_every_row_or_are_not_there(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"source": "a", "cutoff": None}, {"source": "b", "cutoff": 4.0, "error": "torn"}]
    for path in (tmp_path / "rows.jsonl", tmp_path / "rows.parquet"):
        with results(path) as write:
            for row in rows:
                write(row)
            assert not path.exists()
    assert [json.loads(line) for line in (tmp_path / "rows.jsonl").open()] == rows
    table = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["source"] for row in table] == ["a", "b"]
    assert [row["error"] for row in table] == [None, "torn"]
    with pytest.raises(TypeError), results(tmp_path / "half.jsonl") as write:
        write(rows[0] | {None: {}, (): 0})
    assert not (tmp_path / "half.jsonl").exists()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_resumed_results_keep_what_an_earlier_run_wrote(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    with results(path, resume=True) as write:  # the first run may be told to resume, too
        write({"source": "a", "action": "enhanced", "cutoff": {"hz": 4.0}})
        write({"source": "b", "error": "torn"})
        write({"source": "c", "error": "no page"})
        write({"source": "d", "action": "enhanced"})
    with results(path, resume=True) as write:
        write({"source": "a", "action": "exists"})
        write({"source": "b", "action": "enhanced"})
        write({"source": "c", "action": "exists"})
    rows = read_results(path)
    assert [(row["source"], row["action"]) for row in rows] == [
        ("a", "enhanced"),
        ("b", "enhanced"),
        ("c", "exists"),
        ("d", "enhanced"),
    ]
    assert rows[0]["cutoff"] == {"hz": 4.0}
    assert not any(row.get("error") for row in rows)


def test_what_is_no_list_of_results_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text('{"note": "mine"}\n')
    with (
        pytest.raises(InvalidInputError, match=r'a row has no "source"'),
        results(path, resume=True),
    ):
        pass
    assert path.read_text() == '{"note": "mine"}\n'


@pytest.mark.parametrize("output", ["out/", "out/a", "out/a.xyz"])
def test_an_output_that_cannot_be_is_named_before_any_work(
    tmp_path: Path, examples_dir: Path, output: str
) -> None:
    call, music = (str(examples_dir / name) for name in ("speech_en_8k.flac", "music_44k.flac"))
    done = tmp_path / "a.wav"
    with pytest.raises(InvalidInputError, match=rf"music_44k\.flac: output \S*{output}: cannot"):
        enhance_files({call: str(done), music: f"{tmp_path}/{output}"})
    assert not done.exists()


def test_a_mapping_says_where_each_file_goes(tmp_path: Path, examples_dir: Path) -> None:
    source = str(examples_dir / "speech_en_8k.flac")
    to = str(tmp_path / "deep" / "er.wav")
    outcomes = enhance_files({source: to, str(tmp_path / "gone.wav"): None})
    assert [one.error is None for one in outcomes] == [True, False]
    assert Path(to).is_file()
    with pytest.raises(InvalidInputError, match=r"would both be written"):
        enhance_files({source: to, str(examples_dir / "music_44k.flac"): to})
