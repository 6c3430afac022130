"""The judge: systems run on archives, suites and damaged recordings, scored side by side."""
