"""Corpora: what recordings there are, how they split, and random crops of them."""
