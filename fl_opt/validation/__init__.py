"""The learning side: data, models, training methods, the simulated clock and battery.

Importing this loads no torch; loading a ``Task`` does.
"""

from fl_opt.validation.asynchronous import FedAsync as FedAsync
from fl_opt.validation.asynchronous import FedBuff as FedBuff
from fl_opt.validation.asynchronous import TieredAverage as TieredAverage
from fl_opt.validation.clock import Measured as Measured
from fl_opt.validation.clock import claims as claims
from fl_opt.validation.clock import measure as measure
from fl_opt.validation.compressed import Compressed as Compressed
from fl_opt.validation.data import DATASETS as DATASETS
from fl_opt.validation.distillation import Distillation as Distillation
from fl_opt.validation.estimating import EstimatingFedAvg as EstimatingFedAvg
from fl_opt.validation.fedavg import FedAvg as FedAvg
from fl_opt.validation.fine_tuned import FineTuned as FineTuned
from fl_opt.validation.gossip import Gossip as Gossip
from fl_opt.validation.hierarchical import HierFAVG as HierFAVG
from fl_opt.validation.local_training import LocalTraining as LocalTraining
from fl_opt.validation.method import Method as Method
from fl_opt.validation.multi_task import MultiTask as MultiTask
from fl_opt.validation.over_the_air import OverTheAir as OverTheAir
from fl_opt.validation.per_fedavg import PerFedAvg as PerFedAvg
from fl_opt.validation.private import PrivateAverage as PrivateAverage
from fl_opt.validation.simulation import Arm as Arm
from fl_opt.validation.simulation import World as World
from fl_opt.validation.simulation import simulate as simulate
from fl_opt.validation.task import Task as Task
from fl_opt.validation.trace import Trace as Trace

__all__ = [*(name for name, value in globals().items() if isinstance(value, type)), "simulate"]
