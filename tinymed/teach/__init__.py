"""What the course stands on: the article's numbers, computed and judged."""

from tinymed.teach.article import Finding, findings

__all__ = ["Finding", "findings"]
