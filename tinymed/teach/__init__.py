"""What the course stands on: the article's numbers, traces of every formula, and checks of what students write."""

from tinymed.teach import trace
from tinymed.teach.article import Finding, findings
from tinymed.teach.check import WrongAnswer, check
from tinymed.teach.race import race
from tinymed.teach.steps import Step, Trace

__all__ = ["Finding", "Step", "Trace", "WrongAnswer", "check", "findings", "race", "trace"]
