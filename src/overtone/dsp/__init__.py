"""Signal processing in numpy that every room shares: spectra, bandwidth, resampling, level."""
