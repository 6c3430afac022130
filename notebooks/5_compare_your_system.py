# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
# ---

# %% [markdown]
# # Compare your system
#
# Yours beside overtone and the baselines, on the same clips, with intervals. It needs
# `pip install '.[train,plot]'`.

# %%
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from overtone.dsp.resample import resample

EXAMPLES = Path("../examples")
CLIPS = Path("clips")
LOW, HIGH = 16000, 48000

# %% [markdown]
# ## 1. Your outputs
#
# Any program will do that writes a file. This one stands in for it: every sample three times, which
# mirrors the band upwards.


# %%
def your_system(low):
    """Return low [samples] at three times its rate."""
    return np.repeat(low, HIGH // LOW)


# %% [markdown]
# ## 2. A folder of clips
#
# `SET/CLIP/` with `reference.*`, `low.*`, and the output of each system under its name, all in the
# format that you like. A clip is a few seconds; ten recordings give intervals worth reading. Here
# they are cut from two examples.

# %%
for example in ("speech_en_48k", "speech_nl_48k"):
    recording, rate = soundfile.read(EXAMPLES / f"{example}.flac", dtype="float32")
    assert rate == HIGH
    for number, start in enumerate(range(0, recording.size - HIGH, HIGH)):
        reference = recording[start : start + HIGH]
        low = resample(reference[None], HIGH, LOW)[0]
        folder = CLIPS / "speech" / f"{example}_{number}"
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "reference.flac", reference, HIGH)
        soundfile.write(folder / "low.flac", low, LOW)
        soundfile.write(folder / "yours.flac", your_system(low), HIGH)
print(len(list(CLIPS.glob("*/*"))), "clips")

# %% [markdown]
# ## 3. Compare
#
# Differences are to `--versus`, over the same clips: their intervals are the ones to look at. With
# `--perceptual` (extra `metrics`) come ViSQOL, PESQ, STOI and DNSMOS.

# %%
command = "benchmark quality clips -m speech --versus yours --clips 2 -o results --force"
subprocess.run([sys.executable, "-m", "overtone", *command.split()], check=True)

# %% [markdown]
# `results/report.html` is a page with players and spectrograms; `summary.md` has the tables, and
# `cases.csv` every number:

# %%
with Path("results/cases.csv").open(encoding="utf-8", newline="") as file:
    cases = list(csv.DictReader(file))
for system in sorted({case["system"] for case in cases}):
    mean = np.mean([float(case["lsd"]) for case in cases if case["system"] == system])
    print(f"{system:12} LSD {mean:.2f}")

# %% [markdown]
# ## 4. Can a fresh network tell?
#
# `overtone benchmark probe clips -m speech` trains one to tell a system's high bands from
# real ones: 0.5 is guessing. It wants fifty recordings or more, and minutes.
#
# [Evaluation](../docs/guide/evaluation.md) has suites that cut clips from a corpus, archives as in
# AudioUNet's paper, and degradations.
