"""Results for people and programs: tables in four formats, spectrogram pictures in three."""

from overtone.report.pictures import (
    PICTURE_SUFFIXES,
    check_picture_path,
    plot_spectrograms,
    require_matplotlib,
)
from overtone.report.tables import Cell, Column, Table

__all__ = [
    "PICTURE_SUFFIXES",
    "Cell",
    "Column",
    "Table",
    "check_picture_path",
    "plot_spectrograms",
    "require_matplotlib",
]
