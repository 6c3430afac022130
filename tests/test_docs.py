"""README and the guide do what they say: links lead somewhere, commands and Python run.

Every ``overtone`` line of a console block is parsed as the command line parses it, so that each
option exists; those in ``RUN`` are run, too, on short recordings. The others need a corpus, a
cluster, a long time or a sound card. A Python block after ``<!-- not run: ... -->`` is compiled
only. Libraries that pages speak of and overtone does not need are those of tests/fakes.
"""

import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from pydantic import BaseModel

from overtone.cli import app, main
from overtone.families import FAMILIES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *(ROOT / name / "README.md" for name in ("checkpoints", "examples")),
    *ROOT.glob("src/overtone/pretrained/*.md"),
]
GUIDE = [ROOT / "README.md", *sorted(ROOT.glob("docs/guide/*.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"(<!-- not run: .*? -->\n\n)?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s#]+)[^)]*\)")
RUN = ("enhance", "inspect", "models", "plot")
README_WORDS = 900


def name(path):
    return path.relative_to(ROOT).as_posix()


def shown_commands():
    """The words of each command that a console block shows, and the page, once."""
    found = {}
    for page in GUIDE:
        for text in CONSOLE.findall(page.read_text(encoding="utf-8")):
            for line in text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("$ "), comments=True)
                while words:
                    end = next((i for i, word in enumerate(words) if word in "|>"), len(words))
                    found.setdefault(tuple(words[:end]), page)
                    words = words[end + 1 :] if words[end : end + 1] == ["|"] else []
    return [
        pytest.param(words, id=f"{page.stem}: {' '.join(words)}") for words, page in found.items()
    ]


def shown_python():
    """Each Python block, and whether it is to be run."""
    for page in GUIDE:
        for number, (skipped, text) in enumerate(PYTHON.findall(page.read_text(encoding="utf-8"))):
            yield pytest.param(text, not skipped, id=f"{page.stem} {number}")


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """A folder with the recordings that the pages speak of, a second each; the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "tests" / "fakes")
    (tmp_path / "examples").mkdir()
    for example in ("speech_en_8k", "speech_en_48k"):
        samples, rate = soundfile.read(ROOT / "examples" / f"{example}.flac", frames=48000)
        soundfile.write(tmp_path / "examples" / f"{example}.flac", samples[:rate], rate)
    soundfile.write("tape.wav", samples[:rate], rate)
    speech, rate = soundfile.read(tmp_path / "examples" / "speech_en_8k.flac")
    stereo = np.stack([speech, speech / 2], axis=1)
    for path in ("call.wav", "talk.wav", "old.mp3", "song.ogg", "recordings/1.flac", "tapes/2.mp3"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / path, stereo, rate)
    (tmp_path / "mine.onnx").symlink_to(ROOT / "src" / "overtone" / "pretrained" / "speech.onnx")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), link


@pytest.mark.parametrize("words", shown_commands())
def test_commands_run(words, recordings, monkeypatch, capsys):
    program, *arguments = words
    if program == "make":
        rules = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{arguments[0]}:", rules, re.MULTILINE)
    if program == "python":
        assert (ROOT / arguments[0]).exists()
    if program != "overtone":
        return
    parse(arguments)
    elsewhere = "--cluster" in arguments or any("://" in word for word in arguments)
    piped = "-" in arguments  # test_ffmpeg.py runs those
    if arguments[0] not in RUN or elsewhere or piped or "--manifest" in arguments:
        return
    if "talk.mp4" in arguments:
        write_film(recordings / "talk.mp4")
    if arguments[0] == "plot":
        soundfile.write("call.enhanced.wav", np.zeros(48000), 48000)
    if "-j" in arguments:  # as many processes take a second each to start
        arguments[arguments.index("-j") + 1] = "1"
    monkeypatch.setattr(sys, "argv", ["overtone", *arguments])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, capsys.readouterr().err


def write_film(path):
    """A second of moving pictures and the speech of call.wav."""
    av = pytest.importorskip("av")
    speech, rate = soundfile.read(path.with_name("call.wav"), dtype="float32")
    with av.open(str(path), "w") as film:
        pictures = film.add_stream("mpeg4", rate=5, width=32, height=32, pix_fmt="yuv420p")
        sound = film.add_stream("aac", rate=rate, layout="stereo")
        for number in range(5):
            image = np.full((32, 32, 3), 40 * number, np.uint8)
            film.mux(pictures.encode(av.VideoFrame.from_ndarray(image)))
        samples = av.AudioFrame.from_ndarray(speech.reshape(1, -1), "flt", "stereo")
        samples.sample_rate = rate
        film.mux(sound.encode(samples))
        for stream in (pictures, sound):
            film.mux(stream.encode())


def parse(arguments):
    """Parse a command line down to its last command, and run nothing."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = type(command).context_class(command, parent=context)
        word, *arguments = arguments
        assert word in command.commands, word
        command = command.commands[word]
    command.make_context(word, list(arguments), parent=context)


@pytest.mark.parametrize(("text", "runs"), shown_python())
def test_python_runs_as_pasted(text, runs, recordings):
    code = compile(text, "page", "exec")
    if runs:
        exec(code, {})


def test_every_command_is_in_the_guide():
    shown = {words.values[0][1] for words in shown_commands() if words.values[0][0] == "overtone"}
    assert typer.main.get_command(app).commands.keys() <= shown


def test_the_readme_can_be_read_in_one_go():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= README_WORDS
    assert "super-resolution" in text.partition("\n\n")[2].partition(".")[0]


def test_every_benchmark_stands_in_the_guide():
    text = (ROOT / "docs" / "guide" / "evaluation.md").read_text(encoding="utf-8")
    for command in typer.main.get_command(app).commands["benchmark"].commands:
        assert f"`overtone benchmark {command}`" in text


def test_every_recipe_key_is_explained():
    text = (ROOT / "docs" / "reference" / "recipes.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`\[?\[?(\w+)\]?\]?`", text))
    for family in FAMILIES.values():
        assert keys(family.load("recipe")) <= explained, family


def test_every_key_of_a_model_file_is_explained():
    text = (ROOT / "docs" / "reference" / "model_file.md").read_text(encoding="utf-8")
    known = {"size_bytes", "is_default"}  # of the file, not in it
    for family in FAMILIES.values():
        keys_of_file = family.load("runtime").info_type.model_fields.keys() - known
        assert keys_of_file <= set(re.findall(r"`(\w+)`", text))


def keys(settings):
    """The keys of a table of settings and of all tables in it."""
    found = set()
    for key, field in settings.model_fields.items():
        found.add(key)
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= keys(part)
    return found
