"""Systems run on archives, suites and degraded recordings, and scored side by side."""
