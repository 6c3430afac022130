"""The HTTP service: enhance over the network, and the page that people see (extra ``serve``).

:func:`overtone.serve.app.create_app` makes the application; ``overtone serve`` runs it. Sound is
decoded and enhanced in worker processes, so that a file that crashes a decoder costs one request.
"""
