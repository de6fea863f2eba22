"""Measure a bundle on a real board: cycles per layer, over its serial port. ``docs/measuring.md`` has the protocol."""

from tinyformer.sparse_engine.measurement.measure import BAUD, TIMEOUT_S, Measurement, measure
from tinyformer.sparse_engine.measurement.protocol import REQUEST, Report, ReportReader

__all__ = ["BAUD", "REQUEST", "TIMEOUT_S", "Measurement", "Report", "ReportReader", "measure"]
