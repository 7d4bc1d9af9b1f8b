"""The errors that are the user's to mend: each is one line, printed without a traceback."""

from crosswire.engine.config import ConfigError
from crosswire.nic.capture.reader import CaptureError
from crosswire.nic.host.process import HostError
from crosswire.risk.limits import LimitError
from crosswire.venues.errors import VenueError

KNOWN_ERRORS = (ConfigError, CaptureError, HostError, LimitError, VenueError, FileExistsError, FileNotFoundError)
