"""The networks; nothing here knows where data comes from or how training goes."""
