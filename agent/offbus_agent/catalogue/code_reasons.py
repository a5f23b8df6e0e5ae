"""Why a fault answers its codes: the source of each, and why it differs from the published user guide's where it does.

Job: the words behind `xid_effects`, for `offbus xid` and the docs. Every XID that has a code in CUDA or NVML, or one in
the guide, has a reason (a test holds that). Sources: cuda.h of CUDA 12.9 and 13.5, nvml.h (nvidia-ml-py 13.615), the
open GPU kernel modules 595.45.04, and public reports, which are named.
"""

from collections.abc import Mapping

__all__ = ["CUDA_REASONS", "GUIDE_REASONS", "NOTHING", "NVML_REASONS"]

NOTHING = "Processes see nothing of it (NVIDIA's catalogue; the driver only counts, or tells)."

_NVLINK = "cuda.h: 220 is an uncorrectable NVLink error; public logs show 719 beside it."
_GSP = "The driver gives up on the GPU's firmware; 999 or 719 by report, not confirmed on hardware."

CUDA_REASONS: Mapping[int, str] = {
    13: "cuda.h: 719 is an exception in a kernel; sub-errors answer 700, 714 or 715 to 718.",
    31: "cuda.h: 700 is a load or store at an invalid address.",
    43: "It has no code of its own: 719 is the usual one of its causes, which also answer 700 and 710.",
    45: "It has no code of its own: processes see that of the root cause, mostly 719.",
    48: "cuda.h: 214 is an uncorrectable ECC error; from A100 on, 94 or 95 follows.",
    74: "cuda.h: 220 is an uncorrectable NVLink error (public reports: pytorch 58155, nnUNet 1519).",
    79: "Public reports: 719 or 999 on the next call, by driver.",
    94: "cuda.h names this case with 226; drivers that do not know it answer 214.",
    95: "Public reports: 214 or 719 in every process of the GPU.",
    109: "A kernel that was stopped answers 719; not confirmed on hardware.",
    110: "The driver treats the GPU as lost (a comment in its source): as 79.",
    119: f"{_GSP} Real calls block for 6 s (45 s on other GPUs) first.",
    120: _GSP,
    137: "A public report of an H200 shows a contained error (94) after it, and so its code.",
    140: "cuda.h: 214 is an uncorrectable ECC error; not confirmed on hardware.",
    143: "The GPU does not initialise; new processes answer 100 or 999.",
    144: _NVLINK,
    146: _NVLINK,
    149: _NVLINK,
    150: _NVLINK,
}
"""XID -> why processes get that CUDA code."""

_RESET = "nvml.h: 16 says that the GPU needs a reset (public report: gpud 1133)."
_LOST = "nvml.h: 15 is a GPU that has fallen off the bus (public report: gpud 604)."
_ON_REQUEST = "NVML mostly goes on working; on request it answers 16, a reset is needed."

NVML_REASONS: Mapping[int, str] = {
    48: _ON_REQUEST,
    74: _ON_REQUEST,
    79: _LOST,
    95: _RESET,
    109: _ON_REQUEST,
    110: _LOST,
    119: "Calls to the firmware fail; 999 by report, not confirmed on hardware.",
    120: "Calls to the firmware fail; 999 by report, not confirmed on hardware.",
    140: _ON_REQUEST,
    143: "The driver has no GPU to ask; 999 by report.",
    144: _ON_REQUEST,
    146: _ON_REQUEST,
    149: _ON_REQUEST,
    150: _ON_REQUEST,
}
"""XID -> why NVML answers that code."""

GUIDE_REASONS: Mapping[int, str] = {
    43: "The guide's 702 needs a run-time limit for kernels, which only GPUs with a display have (cuda.h).",
    48: "The guide has the same.",
    74: "The guide's 217 says that two GPUs cannot reach each other at all: a set-up error, not a failure.",
    79: "The guide's 100 is what a process sees that starts when its only GPU is gone, not one that runs.",
    94: "The guide's 214 is what drivers answered before 226 was there.",
    95: "The guide's 999 says nothing of the memory error that it is.",
}
"""XID -> why the guide's CUDA code (`codes: guide`) is not ours."""
