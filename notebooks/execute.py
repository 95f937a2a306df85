"""Execute the notebooks here on the records under STUDY_HOME and keep what they show.

    python notebooks/execute.py [NAME]...     all of them, or those named (without .ipynb)

STUDY_HOME is where `study run --out` put the records; by default runs/ beside notebooks/.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
CELL_TIMEOUT_S = 1200


def names() -> list[str]:
    """Every notebook's name."""
    return sorted(path.stem for path in HERE.glob("*.ipynb"))


def executed(name: str, folder: Path = HERE) -> nbformat.NotebookNode:
    """The notebook with fresh outputs. CellExecutionError where a cell fails."""
    notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, record_timing=False, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return notebook


def main() -> None:
    for name in sys.argv[1:] or names():
        notebook = executed(name)
        # What changes from one machine or run to the next without saying anything.
        notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec",)}
        nbformat.write(notebook, HERE / f"{name}.ipynb")
        print(f"executed  {name}")


if __name__ == "__main__":
    main()
