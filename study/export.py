"""A study's tables as files: CSV and Parquet."""

from __future__ import annotations

from pathlib import Path

from study.analysis.exports import for_spreadsheets, tables
from study.analysis.findings import read_findings
from study.errors import RecordError
from study.record import StudyRecord, write_whole


def write_tables(record: StudyRecord, csv: Path | None = None, parquet: Path | None = None) -> list[Path]:
    """Write every table of study.analysis.exports into these folders, which are made where they are not
    there; the files' paths. Raises RecordError where the journal cannot be read or a file not be written.
    """
    found = tables(read_findings(record))
    written = []
    try:
        for folder in (csv, parquet):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
        for name, table in found.items():
            if csv is not None:
                path = csv / f"{name}.csv"
                write_whole(path, for_spreadsheets(table).to_csv(index=False, lineterminator="\n"))
                written.append(path)
            if parquet is not None:
                path = parquet / f"{name}.parquet"
                partial = path.with_name(f".{path.name}.partial")
                table.to_parquet(partial, index=False)
                partial.replace(path)
                written.append(path)
    except OSError as error:
        raise RecordError(f"{error.filename}: the tables cannot be written: {error.strerror}") from error
    return written
