"""Measurements of overtone itself, and the pages in docs/ that are made from them."""
