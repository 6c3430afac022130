"""Audio in and out: files, resampling, spectra and the cutoff detector (numpy only)."""
