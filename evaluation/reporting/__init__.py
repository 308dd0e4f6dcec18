"""Reports for people: one HTML page and the pictures beside it, made from the figures and nothing else.

Plotting stays in this room's corner: no module outside of it imports matplotlib or jinja2, so that a worker never does.
"""
