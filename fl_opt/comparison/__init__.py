"""Put arms into the same worlds and say, with intervals, what differs."""

from fl_opt.comparison.comparing import compare as compare
from fl_opt.comparison.measures import MEASURES as MEASURES
from fl_opt.comparison.measures import Measure as Measure
from fl_opt.comparison.measures import Yardstick as Yardstick
from fl_opt.comparison.regime import RegimeMap as RegimeMap
from fl_opt.comparison.regime import regime_map as regime_map
from fl_opt.comparison.regime import trained_map as trained_map
from fl_opt.comparison.results import Interrupted as Interrupted
from fl_opt.comparison.results import Report as Report
from fl_opt.comparison.rows import ArmRow as ArmRow
from fl_opt.comparison.rows import PairRow as PairRow
from fl_opt.comparison.statistics import Interval as Interval
