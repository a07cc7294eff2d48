"""What an app's operators' pages say."""

import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["samples"]


def samples(page: str) -> Iterator[Sample]:
    """All samples of a metrics page. Raises OSError if it does not answer."""
    with urllib.request.urlopen(page, timeout=30) as answer:  # nosec B310 # our own page
        text = answer.read().decode()
    return (each for family in text_string_to_metric_families(text) for each in family.samples)
