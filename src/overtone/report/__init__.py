"""Results for people and programs: reports and tables in their formats, pictures."""

from overtone.report.drawing import PICTURE_SUFFIXES, check_picture_path, require_matplotlib
from overtone.report.pages import Figure, Notes, Report, Section
from overtone.report.pictures import plot_spectrograms
from overtone.report.tables import Cell, Column, Sound, Table

__all__ = [
    "PICTURE_SUFFIXES",
    "Cell",
    "Column",
    "Figure",
    "Notes",
    "Report",
    "Section",
    "Sound",
    "Table",
    "check_picture_path",
    "plot_spectrograms",
    "require_matplotlib",
]
