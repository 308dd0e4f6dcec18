"""The one place that names the version; packaging and the façade read it from here."""

__version__ = "0.1.0"
