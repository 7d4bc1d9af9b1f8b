"""The errors that are the user's to mend: each is one line, printed without a traceback."""

from engine.config import ConfigError
from nic.capture import CaptureError
from risk.limits import LimitError
from venues.bridge.binance import RecordingError

KNOWN_ERRORS = (ConfigError, CaptureError, LimitError, RecordingError, FileExistsError, FileNotFoundError)
