"""How recordings lose their top: filters, decimation, codecs. Training and evaluation share it."""
