from study.divergence import Monitor as Monitor
from study.errors import StudyError as StudyError
from study.errors import StudyInterrupted as StudyInterrupted
from study.errors import StudyUnfinished as StudyUnfinished
from study.face import Record as Record
from study.face import config as config
from study.face import latest as latest
from study.face import load as load
from study.face import run as run
from study.face import train as train
from study.trial import TrialConfig as TrialConfig
from study.trial import TrialResult as TrialResult
from study.trial import Verdict as Verdict

__version__: str
__all__ = [
    "Monitor",
    "Record",
    "StudyError",
    "StudyInterrupted",
    "StudyUnfinished",
    "TrialConfig",
    "TrialResult",
    "Verdict",
    "config",
    "latest",
    "load",
    "run",
    "train",
]
HOMES: dict[str, str]
