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
# # Enhance and listen
#
# A telephone call goes in, a recording with the full band comes out. In a clone of the repository:
# `pip install '.[plot]' jupyterlab`, then `jupyter lab notebooks`.

# %%
from pathlib import Path

import numpy as np
import soundfile
from IPython.display import Audio, Image, display

import overtone
from overtone.dsp.resample import resample
from overtone.report import plot_spectrograms

EXAMPLES = Path("../examples")

# %% [markdown]
# ## A call
#
# `soundfile` gives `[samples]` or `[samples, channels]`; overtone takes `[samples]` or
# `[channels, samples]`.

# %%
call, rate = soundfile.read(EXAMPLES / "speech_en_8k.flac", dtype="float32")
display(Audio(call, rate=rate))

# %%
result = overtone.enhance(call, rate)
wide, wide_rate = result
print(result.report)
display(Audio(wide, rate=wide_rate))

# %% [markdown]
# The report says what was found: where the band really ends, how sure that is, and which model was
# taken. Both as spectrograms, time to the right and frequency up:

# %%
plot_spectrograms(
    [("before", call, rate), ("after", wide, wide_rate)],
    "before_after.png",
    cutoff_hz=result.report.cutoff.cutoff_hz,
    dots_per_inch=70,
    overwrite=True,
)
display(Image("before_after.png"))

# %% [markdown]
# ## What was there is still there
#
# The difference to the resampled call has nothing below the cutoff:

# %%
added = wide - resample(call[None], rate, wide_rate)[0]
power = np.abs(np.fft.rfft(added)) ** 2
hz = np.fft.rfftfreq(added.size, 1 / wide_rate)
below = power[hz < 0.9 * result.report.cutoff.cutoff_hz].sum()
print(f"added below the cutoff: {10 * np.log10(below / power.sum()):.0f} dB of all that is added")
assert below < 1e-6 * power.sum()
display(Audio(added, rate=wide_rate))

# %% [markdown]
# ## More or less of it
#
# The level of the new band is a guess. `strength_db` moves it; an `Enhancer` keeps the model.

# %%
for strength_db in (-6, 6):
    enhancer = overtone.Enhancer("speech", strength_db=strength_db)
    louder, _ = enhancer.enhance(call, rate)
    print(f"{strength_db:+d} dB")
    display(Audio(louder, rate=wide_rate))

# %% [markdown]
# ## Files
#
# Of any length and any format, and many at once:

# %%
report = overtone.Enhancer().enhance_file(
    EXAMPLES / "speech_nl_male_24k.flac", "speech_nl_wide.flac", overwrite=True
)
print(report)
