"""Who takes part in a round: classical rules, and any problem solved anew in every round."""

from fl_opt.policies.adaptive_steps import AdaptiveSteps as AdaptiveSteps
from fl_opt.policies.channel import BestChannel as BestChannel
from fl_opt.policies.channel import ProportionalFair as ProportionalFair
from fl_opt.policies.fedcs import FedCSGreedy as FedCSGreedy
from fl_opt.policies.least_time import LeastTimeGreedy as LeastTimeGreedy
from fl_opt.policies.lyapunov import Lyapunov as Lyapunov
from fl_opt.policies.optimised import Optimised as Optimised
from fl_opt.policies.superposed import Superposed as Superposed
from fl_opt.policies.turns import Everyone as Everyone
from fl_opt.policies.turns import LargestAge as LargestAge
from fl_opt.policies.turns import Random as Random
from fl_opt.policies.turns import RoundRobin as RoundRobin
from fl_opt.policies.update import BestChannelThenNorm as BestChannelThenNorm
from fl_opt.policies.update import BestSentNorm as BestSentNorm
from fl_opt.policies.update import BestUpdateNorm as BestUpdateNorm

__all__ = [name for name in dir() if name[0].isupper()]
