"""Spectrogram pictures: one scale for all panels, and levels that mean something."""

import subprocess
import sys

import numpy as np
import pytest

from overtone.errors import InvalidInputError, MissingExtraError
from overtone.report import check_picture_path, plot_spectrograms

pytest.importorskip("matplotlib")


@pytest.fixture
def figures(monkeypatch):
    """Return the list of figures that were saved, and save nothing real."""
    from matplotlib.figure import Figure

    saved = []
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda self, path, **options: (saved.append(self), path.write_text("picture")),
    )
    return saved


def panels(figure):
    return [axes for axes in figure.axes if axes.get_visible() and axes.images]


@pytest.mark.parametrize(
    ("suffix", "magic"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".SVG", b"<?xml")]
)
def test_the_suffix_chooses_the_format(tmp_path, make_noise, suffix, magic):
    path = tmp_path / f"picture{suffix}"
    plot_spectrograms([("noise", make_noise(8000, 0.2), 8000)], path, cutoff_hz=2000)
    assert path.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [path]


def test_several_paths_get_the_same_picture_and_the_same_bytes_again(tmp_path, make_noise):
    signals = [("noise", make_noise(8000, 0.2), 8000)]
    paths = [tmp_path / name for name in ("a.png", "a.pdf", "a.svg")]
    plot_spectrograms(signals, paths)
    written = [path.read_bytes() for path in paths]
    plot_spectrograms(signals, paths, overwrite=True)
    assert [path.read_bytes() for path in paths] == written
    assert b"CreationDate" not in written[1]
    assert b"<dc:date>" not in written[2]
    (tmp_path / "a.png").unlink()
    with pytest.raises(InvalidInputError, match=r"a\.pdf: already exists"):
        plot_spectrograms(signals, paths)
    assert not (tmp_path / "a.png").exists()


def test_panels_share_frequencies_and_colours(tmp_path, make_noise, figures):
    signals = [
        ("low", make_noise(8000, 0.5, rms=0.01), 8000),
        ("high", make_noise(48000, 0.7, rms=0.1, channels=2), 48000),
    ]
    plot_spectrograms(signals, tmp_path / "picture.png")
    low, high = panels(figures[0])
    assert (low.get_title(), high.get_title()) == ("low", "high")
    assert low.get_ylim() == high.get_ylim() == (0, 24)
    assert low.get_xlim() == high.get_xlim() == (0, 0.7)
    assert low.images[0].get_extent() == [0, 0.5, 0, 4]
    assert high.images[0].get_extent() == [0, 0.7, 0, 24]
    bottom, top = low.images[0].get_clim()
    assert (bottom, top) == high.images[0].get_clim()
    assert top - bottom == pytest.approx(90)
    assert not low.lines


def test_the_cutoff_is_marked_in_every_panel(tmp_path, make_noise, figures):
    signals = [(str(n), make_noise(8000, 0.1), 8000) for n in range(6)]
    plot_spectrograms(signals, tmp_path / "picture.png", cutoff_hz=1500)
    assert len(panels(figures[0])) == 6
    for panel in panels(figures[0]):
        assert list(panel.lines[0].get_ydata()) == [1.5, 1.5]


def test_each_panel_may_have_a_mark_of_its_own(tmp_path, make_noise, figures):
    signals = [(str(n), make_noise(8000, 0.1), 8000) for n in range(3)]
    plot_spectrograms(signals, tmp_path / "picture.png", cutoff_hz=[1000, None, 2000])
    marks = [[line.get_ydata()[0] for line in panel.lines] for panel in panels(figures[0])]
    assert marks == [[1.0], [], [2.0]]


@pytest.mark.parametrize("sample_rate", [8000, 22050, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_stands_at_its_frequency_and_level(
    tmp_path, make_tone, figures, sample_rate, channels
):
    tone = make_tone(1000, sample_rate, 0.5, amplitude=0.5, channels=channels)
    plot_spectrograms([("tone", tone, sample_rate)], tmp_path / "picture.png")
    image = panels(figures[0])[0].images[0].get_array()
    spectrum = image[:, image.shape[1] // 2]
    loudest = np.argmax(spectrum) / (len(spectrum) - 1) * sample_rate / 2
    assert loudest == pytest.approx(1000, abs=20)
    assert spectrum.max() == pytest.approx(-6.02, abs=0.6)  # a tone between two bins loses some


def test_silence_is_black(tmp_path, figures):
    plot_spectrograms([("silence", np.zeros(4000), 8000)], tmp_path / "picture.png")
    image = panels(figures[0])[0].images[0]
    assert image.get_array().max() < image.get_clim()[0]


@pytest.mark.parametrize("samples", [1, 2, 100])
def test_a_signal_shorter_than_a_window_is_drawn(tmp_path, samples, figures):
    plot_spectrograms([("short", np.full(samples, 0.1), 48000)], tmp_path / "picture.png")
    assert np.isfinite(panels(figures[0])[0].images[0].get_array()).all()


def test_what_cannot_be_drawn_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"picture\.jpg: .*\.png, \.pdf, \.svg"):
        plot_spectrograms([("a", np.ones(9), 8000)], tmp_path / "picture.jpg")
    with pytest.raises(InvalidInputError, match="empty: no samples"):
        plot_spectrograms([("empty", np.zeros((2, 0)), 8000)], tmp_path / "picture.png")
    with pytest.raises(InvalidInputError, match="at least one"):
        plot_spectrograms([], tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_picture_is_kept_unless_asked(tmp_path, figures):
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(InvalidInputError, match=r"already exists.*overwrite=True"):
        plot_spectrograms([("a", np.ones(900), 8000)], path)
    with pytest.raises(InvalidInputError, match="already exists"):
        check_picture_path(path)
    assert path.read_text() == "old"
    plot_spectrograms([("a", np.ones(900), 8000)], path, overwrite=True)
    assert path.read_text() == "picture"


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"overtone\[plot\]"):
        plot_spectrograms([("a", np.ones(9), 8000)], tmp_path / "picture.png")


def test_drawing_needs_no_display_and_no_laboratory(tmp_path):
    program = f"""
import sys, numpy, overtone.metrics, overtone.report
assert "matplotlib" not in sys.modules
overtone.report.plot_spectrograms([("a", numpy.ones(900), 8000)], {str(tmp_path / "a.png")!r})
banned = {{"matplotlib.pyplot", "torch", "scipy", "librosa", "h5py"}} & set(sys.modules)
assert not banned, banned
"""
    subprocess.run([sys.executable, "-c", program], check=True)
