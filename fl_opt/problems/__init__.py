"""Formulations: one file each, with its page of maths as the docstring."""

from fl_opt.problems.accuracy_plan import AccuracyPlan as AccuracyPlan
from fl_opt.problems.antennas import Antennas as Antennas
from fl_opt.problems.async_tiers import AsyncTiers as AsyncTiers
from fl_opt.problems.async_tiers import Tiers as Tiers
from fl_opt.problems.bit_allocation import BitAllocation as BitAllocation
from fl_opt.problems.bit_allocation import WholeBitAllocation as WholeBitAllocation
from fl_opt.problems.bit_depths import BitDepths as BitDepths
from fl_opt.problems.block_levels import BlockLevels as BlockLevels
from fl_opt.problems.block_network import BlockNetwork as BlockNetwork
from fl_opt.problems.cell_network import CellNetwork as CellNetwork
from fl_opt.problems.cell_network import CellPowers as CellPowers
from fl_opt.problems.fedcs import FedCS as FedCS
from fl_opt.problems.fedl import FEDL as FEDL
from fl_opt.problems.fedl_decision import FEDLDecision as FEDLDecision
from fl_opt.problems.graph import Graph as Graph
from fl_opt.problems.hierarchical_periods import HierarchicalPeriods as HierarchicalPeriods
from fl_opt.problems.hierarchical_periods import Periods as Periods
from fl_opt.problems.joint_schedule import JointSchedule as JointSchedule
from fl_opt.problems.link_activation import LinkActivation as LinkActivation
from fl_opt.problems.local_accuracy import LocalAccuracy as LocalAccuracy
from fl_opt.problems.local_accuracy import LocalAccuracyTime as LocalAccuracyTime
from fl_opt.problems.local_steps import LocalSteps as LocalSteps
from fl_opt.problems.local_steps import StepCount as StepCount
from fl_opt.problems.max_participation import MaxParticipation as MaxParticipation
from fl_opt.problems.meta_selection import MetaBlockSelection as MetaBlockSelection
from fl_opt.problems.meta_selection import MetaSelection as MetaSelection
from fl_opt.problems.min_block_round_time import MinBlockRoundTime as MinBlockRoundTime
from fl_opt.problems.min_energy import MinEnergy as MinEnergy
from fl_opt.problems.min_round_time import MinRoundTime as MinRoundTime
from fl_opt.problems.mixing_step import MixingStep as MixingStep
from fl_opt.problems.mixing_weights import MixingWeights as MixingWeights
from fl_opt.problems.multi_cell_power import MultiCellPower as MultiCellPower
from fl_opt.problems.over_the_air_fading import OverTheAirFading as OverTheAirFading
from fl_opt.problems.over_the_air_power import OverTheAirPower as OverTheAirPower
from fl_opt.problems.over_the_air_selection import OverTheAirSelection as OverTheAirSelection
from fl_opt.problems.private_alignment import PrivateAlignment as PrivateAlignment
from fl_opt.problems.private_power import PrivatePower as PrivatePower
from fl_opt.problems.residence_scheduling import ResidenceScheduling as ResidenceScheduling
from fl_opt.problems.resource_blocks import ResourceBlockAssignment as ResourceBlockAssignment
from fl_opt.problems.time_energy import TimeEnergyTradeoff as TimeEnergyTradeoff
from fl_opt.problems.truncated_inversion import TruncatedInversion as TruncatedInversion
from fl_opt.problems.truncated_inversion import Truncation as Truncation
from fl_opt.problems.workload_sharing import TaskShares as TaskShares
from fl_opt.problems.workload_sharing import WorkloadSharing as WorkloadSharing

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
