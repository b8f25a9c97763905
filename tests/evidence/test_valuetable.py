"""Value tables: CSVs and DBFs as they come, names of many codes, and tables that contradict themselves."""

from __future__ import annotations

import csv
import json
import struct
import tempfile
from pathlib import Path

import pandas as pd
import pyogrio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmjax.errors import DataError
from mpmjax.evidence.valuetable import read_value_table

ROWS = "VALUE,Count,LITH\n1,500,Granite\n2,20,Shale\n7,3,Granite\n"


def save(folder: Path, text: str, name: str = "litho.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read(path: Path, field: str = "LITH") -> dict[str, tuple[float, ...]]:
    return dict(read_value_table(path, field, f"layer 'geology': {path}"))


def refused(path: Path, field: str = "LITH") -> str:
    with pytest.raises(DataError, match=r"^layer 'geology': ") as seen:
        read(path, field)
    return str(seen.value)


def dbf(path: Path, columns: dict[str, list[object]]) -> Path:
    """A table without geometries, as ArcGIS writes beside a raster; its own writer, not the reader under test."""
    pyogrio.write_dataframe(pd.DataFrame(columns), path, driver="ESRI Shapefile")
    return path


def old_dbf(path: Path, columns: list[tuple[str, int]], rows: list[tuple[bytes, ...]], language: int = 0) -> Path:
    """dBASE III by hand: a header, a descriptor a column (text), records of fixed width."""
    width = 1 + sum(size for _, size in columns)
    header = struct.pack("<4BIHH17xB2x", 3, 126, 1, 1, len(rows), 33 + 32 * len(columns), width, language)
    described = b"".join(struct.pack("<11sc4xB15x", name.encode(), b"C", size) for name, size in columns)
    records = b"".join(
        b" " + b"".join(cell.ljust(size) for cell, (_, size) in zip(row, columns, strict=True)) for row in rows
    )
    path.write_bytes(header + described + b"\r" + records + b"\x1a")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_as_programs_write_it(tmp_path: Path, delimiter: str, end: str, encoding: str) -> None:
    text = ROWS.replace(",", delimiter).replace("\n", end)
    assert read(save(tmp_path, text, encoding=encoding)) == {"Granite": (1.0, 7.0), "Shale": (2.0,)}


def test_quotes_spaces_and_names_in_any_script(tmp_path: Path) -> None:
    text = 'value,LITH\n 1 ,"Granite, coarse"\n2.0,  花岗岩 \n-3,Grünschiefer\n1e3,"say ""gneiss"""\n'
    assert read(save(tmp_path, text)) == {
        "Granite, coarse": (1.0,), "花岗岩": (2.0,), "Grünschiefer": (-3.0,), 'say "gneiss"': (1000.0,),
    }  # fmt: skip


def test_rows_without_a_name_and_empty_lines_are_left_out(tmp_path: Path) -> None:
    text = "value,LITH\n1,Granite\n\n2,\n3\n,,\nno number,\n4,Shale,more\n"
    assert read(save(tmp_path, text)) == {"Granite": (1.0,), "Shale": (4.0,)}


def test_the_same_row_twice_is_one(tmp_path: Path) -> None:
    assert read(save(tmp_path, ROWS + "7,3,Granite\n7.0,4,Granite\n"))["Granite"] == (1.0, 7.0)


@pytest.mark.parametrize(
    ("header", "field", "expected"),
    [
        ("Value,Code,Class,LITH", "LITH", 1.0),
        ("x,CODE,Class,LITH", "LITH", 2.0),
        ("Class,Code,VALUE,LITH", "LITH", 3.0),
        ("x,y,cLaSs,LITH", "LITH", 3.0),
        ("x,y,Code,Class", "Class", 3.0),
    ],
)
def test_value_before_code_before_class(tmp_path: Path, header: str, field: str, expected: float) -> None:
    assert read(save(tmp_path, f"{header}\n1,2,3,Granite\n"), field) == {"Granite": (expected,)}


def test_no_such_columns(tmp_path: Path) -> None:
    path = save(tmp_path, ROWS)
    assert "no column 'lith'; the columns are: VALUE, Count, LITH." in refused(path, "lith")
    assert "value, code or class. The columns are: id, LITH" in refused(save(tmp_path, "id,LITH\n1,Granite\n"))
    # The names are no codes, even where they stand under a name of codes.
    assert "no column of codes" in refused(save(tmp_path, "id,class\n1,Granite\n"), "class")


@pytest.mark.parametrize("code", ["", "one", "1,5", "nan", "inf", "0x10"])
def test_a_code_that_is_no_number(tmp_path: Path, code: str) -> None:
    message = refused(save(tmp_path, f'value,LITH\n1,Shale\n"{code}",Granite\n'))
    assert f"line 3: the code in 'value' is {code!r}, which is no number" in message


def test_a_code_of_two_names(tmp_path: Path) -> None:
    message = refused(save(tmp_path, ROWS + "2.0,1,Slate\n"))
    assert "line 5: the code 2.0 is named 'Slate' here and 'Shale' before" in message


def test_tables_that_hold_nothing(tmp_path: Path) -> None:
    assert "has no rows" in refused(save(tmp_path, "value,LITH\n"))
    assert "has no rows" in refused(save(tmp_path, ""))
    assert "the column 'LITH' names no class, it is empty" in refused(save(tmp_path, "value,LITH\n1,\n2,  \n"))
    assert "no such file" in refused(tmp_path / "none.csv")
    assert "no such file" in refused(tmp_path / "none.dbf")
    assert "not a table that is read" in refused(save(tmp_path, ROWS, "a.xlsx"))
    assert "no CSV in UTF-8" in refused(save(tmp_path, "value,LITH\n1,Grünstein\n", encoding="latin-1"))


@given(
    st.dictionaries(
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1),
        min_size=1,
    ),
    st.sampled_from(",;\t"),
)
@settings(max_examples=60, deadline=None)
def test_every_code_comes_back_under_its_name(table: dict[float, str], delimiter: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([["value", "LITH"], *map(list, table.items())])
        found = read(path)
    assert {code: name for name, codes in found.items() for code in codes} == table
    assert all(list(codes) == sorted(codes) for codes in found.values())


def test_dbf_of_a_raster(tmp_path: Path) -> None:
    path = dbf(
        tmp_path / "geology.tif.vat.dbf",
        {"Value": [1, 2, 7, 9], "Count": [500.0, 20.0, 3.0, 1.0], "LITH": ["Granite", "Grünschiefer", "Granite", None]},
    )
    assert read(path) == {"Granite": (1.0, 7.0), "Grünschiefer": (2.0,)}
    assert read(path, "Count") == {"500": (1.0,), "20": (2.0,), "3": (7.0,), "1": (9.0,)}, "numbers are names too"
    assert "no column 'Lithology'; the columns are: Value, Count, LITH" in refused(path, "Lithology")


@pytest.mark.parametrize(
    ("encoding", "language", "cpg"),
    [("utf-8", 0, None), ("latin-1", 0, None), ("cp1252", 0x57, None), ("cp850", 0x02, None), ("cp1251", 0, "1251")],
)
def test_dbf_in_the_encodings_of_the_world(tmp_path: Path, encoding: str, language: int, cpg: str | None) -> None:
    name = "Гранит" if encoding == "cp1251" else "Grünschiefer"
    path = old_dbf(
        tmp_path / "a.dbf", [("VALUE", 5), ("LITH", 30)], [(b"1", name.encode(encoding)), (b"2", b"Shale")], language
    )
    if cpg:
        (tmp_path / "a.cpg").write_text(cpg)
    assert read(path) == {name: (1.0,), "Shale": (2.0,)}


def test_dbf_that_contradicts_itself_or_holds_nothing(tmp_path: Path) -> None:
    columns = [("VALUE", 5), ("LITH", 30)]
    path = old_dbf(tmp_path / "a.dbf", columns, [(b"1", b"Granite"), (b"1", b"Shale")])
    assert "row 2: the code 1 is named 'Shale' here and 'Granite' before" in refused(path)
    assert "row 1: the code in 'VALUE' is 'I', which is no number" in refused(
        old_dbf(tmp_path / "b.dbf", columns, [(b"I", b"Granite")])
    )
    assert "the table has no rows" in refused(old_dbf(tmp_path / "c.dbf", columns, []))


@pytest.mark.parametrize("disguise", ["vrt", "geojson", "gpkg", "empty", "header only"])
def test_what_only_calls_itself_dbf_is_not_opened(tmp_path: Path, disguise: str) -> None:
    path = tmp_path / "a.vat.dbf"
    secret = dbf(tmp_path / "secret.dbf", {"Value": [1], "LITH": ["secret"]})
    if disguise == "gpkg":
        pyogrio.write_dataframe(pd.DataFrame({"Value": [1], "LITH": ["secret"]}), tmp_path / "b.gpkg")
        path.write_bytes((tmp_path / "b.gpkg").read_bytes())
    else:
        layer = f'<OGRVRTLayer name="secret"><SrcDataSource>{secret}</SrcDataSource></OGRVRTLayer>'
        content = {
            "vrt": f"<OGRVRTDataSource>{layer}</OGRVRTDataSource>",
            "geojson": json.dumps({"type": "FeatureCollection", "features": []}),
            "empty": "",
            "header only": "\x03\x01\x01",
        }[disguise]
        path.write_text(content)
    message = refused(path)
    assert "not a dBASE table" in message or "cannot be read" in message
    assert "secret" not in message
