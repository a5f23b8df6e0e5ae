/* The texts of all kernel lines, made by `make generate` from the agent's catalogue: do not edit.
 *
 * Control characters stand for fields: 1 the fault's id, 2 the time, 3 the address, 4 the GPU's index, 5 its UUID.
 */
#ifndef OFFBUS_KERNEL_LINES_H
#define OFFBUS_KERNEL_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_LIMIT 900 /* of one write, prefix and line end included */
#define XID_LEVEL 4
#define RESET_LEVEL 3
#define RESET_LINE "GPU reset executed: \005, success: true"

static inline const char *line_opening(unsigned dialect) {
  switch (dialect) {
    case 0: return "offbus=\001 ;"; /* marked */
    case 1: return ""; /* bare */
    case 2: return "NVRM: "; /* double */
    case 3: return "kernel: "; /* kernel */
    case 4: return "[\002] "; /* timestamp */
    default: return NULL;
  }
}

/* 0: of a GPU that is gone without an XID. As drivers before R575 wrote it where newer ones differ. */
static inline const char *line_of_driver(unsigned xid, bool before_r575) {
  switch (xid) {
    case 0: return "NVRM: The NVIDIA GPU \003.0 (PCI ID: 10de:2330) installed in this system has fallen off the bus and is not responding to commands.";
    case 1: return "NVRM: Xid (PCI:\003): 1, ROBUST_CHANNEL_FIFO_ERROR_FIFO_METHOD";
    case 2: return "NVRM: Xid (PCI:\003): 2, ROBUST_CHANNEL_FIFO_ERROR_SW_METHOD";
    case 3: return "NVRM: Xid (PCI:\003): 3, ROBUST_CHANNEL_FIFO_ERROR_UNK_METHOD";
    case 4: return "NVRM: Xid (PCI:\003): 4, ROBUST_CHANNEL_FIFO_ERROR_CHANNEL_BUSY";
    case 5: return "NVRM: Xid (PCI:\003): 5, ROBUST_CHANNEL_FIFO_ERROR_RUNOUT_OVERFLOW";
    case 6: return "NVRM: Xid (PCI:\003): 6, ROBUST_CHANNEL_FIFO_ERROR_PARSE_ERR";
    case 7: return "NVRM: Xid (PCI:\003): 7, ROBUST_CHANNEL_FIFO_ERROR_PTE_ERR";
    case 8: return "NVRM: Xid (PCI:\003): 8, GPU stopped processing";
    case 9: return "NVRM: Xid (PCI:\003): 9, ROBUST_CHANNEL_GR_ERROR_INSTANCE";
    case 10: return "NVRM: Xid (PCI:\003): 10, ROBUST_CHANNEL_GR_ERROR_SINGLE_STEP";
    case 11: return "NVRM: Xid (PCI:\003): 11, Invalid or corrupted push buffer stream";
    case 12: return "NVRM: Xid (PCI:\003): 12, ROBUST_CHANNEL_GR_ERROR_SW_METHOD";
    case 13: return "NVRM: Xid (PCI:\003): 13, pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 1, TPC 3, SM 0): Out Of Range Address";
    case 14: return "NVRM: Xid (PCI:\003): 14, ROBUST_CHANNEL_FAKE_ERROR";
    case 15: return "NVRM: Xid (PCI:\003): 15, ROBUST_CHANNEL_SCANLINE_TIMEOUT";
    case 16: return "NVRM: Xid (PCI:\003): 16, ROBUST_CHANNEL_VBLANK_CALLBACK_TIMEOUT";
    case 17: return "NVRM: Xid (PCI:\003): 17, ROBUST_CHANNEL_PARAMETER_ERROR";
    case 18: return "NVRM: Xid (PCI:\003): 18, ROBUST_CHANNEL_BUS_MASTER_TIMEOUT_ERROR";
    case 19: return "NVRM: Xid (PCI:\003): 19, ROBUST_CHANNEL_DISP_MISSED_NOTIFIER";
    case 20: return "NVRM: Xid (PCI:\003): 20, ROBUST_CHANNEL_MPEG_ERROR_SW_METHOD";
    case 21: return "NVRM: Xid (PCI:\003): 21, ROBUST_CHANNEL_ME_ERROR_SW_METHOD";
    case 22: return "NVRM: Xid (PCI:\003): 22, ROBUST_CHANNEL_VP_ERROR_SW_METHOD";
    case 23: return "NVRM: Xid (PCI:\003): 23, ROBUST_CHANNEL_RC_LOGGING_ENABLED";
    case 24: return "NVRM: Xid (PCI:\003): 24, ROBUST_CHANNEL_GR_SEMAPHORE_TIMEOUT";
    case 25: return "NVRM: Xid (PCI:\003): 25, Invalid or illegal push buffer stream";
    case 26: return "NVRM: Xid (PCI:\003): 26, ROBUST_CHANNEL_FIFO_ERROR_FBISTATE_TIMEOUT";
    case 27: return "NVRM: Xid (PCI:\003): 27, ROBUST_CHANNEL_VP_ERROR";
    case 28: return "NVRM: Xid (PCI:\003): 28, ROBUST_CHANNEL_VP2_ERROR";
    case 29: return "NVRM: Xid (PCI:\003): 29, ROBUST_CHANNEL_BSP_ERROR";
    case 30: return "NVRM: Xid (PCI:\003): 30, ROBUST_CHANNEL_BAD_ADDR_ACCESS";
    case 31: return "NVRM: Xid (PCI:\003): 31, pid='<unknown>', name=<unknown>, Ch 00000007, intr 00000000. MMU Fault: ENGINE GRAPHICS GPCCLIENT_T1_0 faulted @ 0x7fc1_23456000. Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ";
    case 32: return "NVRM: Xid (PCI:\003): 32, Invalid or corrupted push buffer stream";
    case 33: return "NVRM: Xid (PCI:\003): 33, ROBUST_CHANNEL_SEC_ERROR";
    case 34: return "NVRM: Xid (PCI:\003): 34, ROBUST_CHANNEL_MSVLD_ERROR";
    case 35: return "NVRM: Xid (PCI:\003): 35, ROBUST_CHANNEL_MSPDEC_ERROR";
    case 36: return "NVRM: Xid (PCI:\003): 36, ROBUST_CHANNEL_MSPPP_ERROR";
    case 37: return "NVRM: Xid (PCI:\003): 37, Driver firmware error";
    case 38: return "NVRM: Xid (PCI:\003): 38, Driver firmware error";
    case 39: return "NVRM: Xid (PCI:\003): 39, Copy Engine Exception";
    case 40: return "NVRM: Xid (PCI:\003): 40, Copy Engine Exception";
    case 41: return "NVRM: Xid (PCI:\003): 41, Copy Engine Exception";
    case 42: return "NVRM: Xid (PCI:\003): 42, ROBUST_CHANNEL_VIC_ERROR";
    case 43: return "NVRM: Xid (PCI:\003): 43, pid='<unknown>', name=<unknown>, Ch 00000008";
    case 44: return "NVRM: Xid (PCI:\003): 44, Graphics Engine fault during context switch";
    case 45: return "NVRM: Xid (PCI:\003): 45, pid='<unknown>', name=<unknown>, Ch 00000001";
    case 46: return "NVRM: Xid (PCI:\003): 46, GPU stopped processing";
    case 47: return "NVRM: Xid (PCI:\003): 47, ROBUST_CHANNEL_NVENC0_ERROR";
    case 48: return "NVRM: Xid (PCI:\003): 48, pid='<unknown>', name=<unknown>, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at physAddr 0x18f31d80 partition 16, subpartition 3.";
    case 49: return "NVRM: Xid (PCI:\003): 49, SILENT_RUNNING_CONSTANT_LEVEL_SET_BY_REGISTRY";
    case 50: return "NVRM: Xid (PCI:\003): 50, SILENT_RUNNING_LEVEL_TRANSITION_DUE_TO_RC_ERROR";
    case 51: return "NVRM: Xid (PCI:\003): 51, SILENT_RUNNING_STRESS_TEST_FAILURE";
    case 52: return "NVRM: Xid (PCI:\003): 52, SILENT_RUNNING_LEVEL_TRANS_DUE_TO_TEMP_RISE";
    case 53: return "NVRM: Xid (PCI:\003): 53, SILENT_RUNNING_TEMP_REDUCED_CLOCKING";
    case 54: return "NVRM: Xid (PCI:\003): 54, Auxiliary power is not connected to the GPU board";
    case 55: return "NVRM: Xid (PCI:\003): 55, SILENT_RUNNING_TEMPERATURE_READ_ERROR";
    case 56: return "NVRM: Xid (PCI:\003): 56, DISPLAY_CHANNEL_EXCEPTION";
    case 57: return "NVRM: Xid (PCI:\003): 57, FB_LINK_TRAINING_FAILURE_ERROR";
    case 58: return "NVRM: Xid (PCI:\003): 58, FB_MEMORY_ERROR";
    case 59: return "NVRM: Xid (PCI:\003): 59, PMU_ERROR";
    case 60: return "NVRM: Xid (PCI:\003): 60, Video processor exception";
    case 61: return "NVRM: Xid (PCI:\003): 61, PMU_BREAKPOINT";
    case 62: return "NVRM: Xid (PCI:\003): 62, Internal micro-controller halt (newer drivers)";
    case 63: return "NVRM: Xid (PCI:\003): 63, Row Remapper: New row (0x0000000018f31d80) marked for remapping, reset gpu to activate.";
    case 64: return "NVRM: Xid (PCI:\003): 64, Row Remapper Error: (0x0000000018f31d80) - All reserved rows for bank are remapped";
    case 65: return "NVRM: Xid (PCI:\003): 65, ROBUST_CHANNEL_NVENC1_ERROR";
    case 66: return "NVRM: Xid (PCI:\003): 66, Illegal access by driver";
    case 67: return "NVRM: Xid (PCI:\003): 67, Illegal access by driver";
    case 68: return "NVRM: Xid (PCI:\003): 68, NVDEC0 Exception";
    case 69: return "NVRM: Xid (PCI:\003): 69, Graphics Engine class error";
    case 70: return "NVRM: Xid (PCI:\003): 70, CE3: Unknown Error";
    case 71: return "NVRM: Xid (PCI:\003): 71, CE4: Unknown Error";
    case 72: return "NVRM: Xid (PCI:\003): 72, CE5: Unknown Error";
    case 73: return "NVRM: Xid (PCI:\003): 73, ROBUST_CHANNEL_NVENC2_ERROR";
    case 74: return "NVRM: Xid (PCI:\003): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)";
    case 75: return "NVRM: Xid (PCI:\003): 75, CE6: Unknown Error";
    case 76: return "NVRM: Xid (PCI:\003): 76, CE7: Unknown Error";
    case 77: return "NVRM: Xid (PCI:\003): 77, CE8: Unknown Error";
    case 78: return "NVRM: Xid (PCI:\003): 78, vGPU Start Error";
    case 79: return "NVRM: Xid (PCI:\003): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.";
    case 80: return "NVRM: Xid (PCI:\003): 80, Corrupted data sent to GPU";
    case 81: return "NVRM: Xid (PCI:\003): 81, ROBUST_CHANNEL_VGA_SUBSYSTEM_ERROR";
    case 82: return "NVRM: Xid (PCI:\003): 82, NVJPG0 Error";
    case 83: return "NVRM: Xid (PCI:\003): 83, NVDEC1 Error";
    case 84: return "NVRM: Xid (PCI:\003): 84, NVDEC2 Error";
    case 85: return "NVRM: Xid (PCI:\003): 85, CE9: Unknown Error";
    case 86: return "NVRM: Xid (PCI:\003): 86, OFA Exception";
    case 87: return "NVRM: Xid (PCI:\003): 87, NVTELEMETRY_DRIVER_REPORT";
    case 88: return "NVRM: Xid (PCI:\003): 88, NVDEC3 Error";
    case 89: return "NVRM: Xid (PCI:\003): 89, NVDEC4 Error";
    case 90: return "NVRM: Xid (PCI:\003): 90, LTC_ERROR";
    case 91: return "NVRM: Xid (PCI:\003): 91, RESERVED_XID";
    case 92: return "NVRM: Xid (PCI:\003): 92, Disabling ECC single-bit error interrupts in framebuffer at logical partition 3, due to high error rate";
    case 93: return "NVRM: Xid (PCI:\003): 93, Non-fatal violation of provisioned InfoROM wear limit";
    case 94: return "NVRM: Xid (PCI:\003): 94, pid='<unknown>', name=<unknown>, Contained: SM (0x1). RST: No, D-RST: No";
    case 95: return "NVRM: Xid (PCI:\003): 95, pid='<unknown>', name=<unknown>, Uncontained: LTC TAG (0x2, 0x1). RST: Yes, D-RST: No";
    case 96: return "NVRM: Xid (PCI:\003): 96, NVDEC5 Error";
    case 97: return "NVRM: Xid (PCI:\003): 97, NVDEC6 Error";
    case 98: return "NVRM: Xid (PCI:\003): 98, NVDEC7 Error";
    case 99: return "NVRM: Xid (PCI:\003): 99, NVJPG1 Error";
    case 100: return "NVRM: Xid (PCI:\003): 100, NVJPG2 Error";
    case 101: return "NVRM: Xid (PCI:\003): 101, NVJPG3 Error";
    case 102: return "NVRM: Xid (PCI:\003): 102, NVJPG4 Error";
    case 103: return "NVRM: Xid (PCI:\003): 103, NVJPG5 Error";
    case 104: return "NVRM: Xid (PCI:\003): 104, NVJPG6 Error";
    case 105: return "NVRM: Xid (PCI:\003): 105, NVJPG7 Error";
    case 106: return "NVRM: Xid (PCI:\003): 106, SMBPBI Test Message";
    case 107: return "NVRM: Xid (PCI:\003): 107, SMBPBI Test Message Silent";
    case 108: return "NVRM: Xid (PCI:\003): 108, NVLINK_REMOTE_TRANSLATION_ERROR";
    case 109: return "NVRM: Xid (PCI:\003): 109, pid='<unknown>', name=<unknown>, Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x58005";
    case 110: return "NVRM: Xid (PCI:\003): 110, SEC_FAULT: _FAULT_FUSE_POD";
    case 111: return "NVRM: Xid (PCI:\003): 111, BUNDLE_ERROR_EVENT";
    case 112: return "NVRM: Xid (PCI:\003): 112, DISP_SUPERVISOR_ERROR";
    case 113: return "NVRM: Xid (PCI:\003): 113, DP_LT_FAILURE";
    case 114: return "NVRM: Xid (PCI:\003): 114, HEAD_RG_UNDERFLOW";
    case 115: return "NVRM: Xid (PCI:\003): 115, CORE_CHANNEL_REGS";
    case 116: return "NVRM: Xid (PCI:\003): 116, WINDOW_CHANNEL_REGS";
    case 117: return "NVRM: Xid (PCI:\003): 117, CURSOR_CHANNEL_REGS";
    case 118: return "NVRM: Xid (PCI:\003): 118, HEAD_REGS";
    case 119: return "NVRM: Xid (PCI:\003): 119, pid='<unknown>', name=<unknown>, Timeout after 6s of waiting for RPC response from GPU\004 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20803032 0x58c).";
    case 120: return "NVRM: Xid (PCI:\003): 120, GSP task exception: load access page fault (cause:0xd) @ pc:0x140ca4a, partition:4#0, task:3";
    case 121: return "NVRM: Xid (PCI:\003): 121, C2C Error";
    case 122: return "NVRM: Xid (PCI:\003): 122, SPI_PMU_RPC_READ_FAIL";
    case 123: return "NVRM: Xid (PCI:\003): 123, SPI_PMU_RPC_WRITE_FAIL";
    case 124: return "NVRM: Xid (PCI:\003): 124, SPI_PMU_RPC_ERASE_FAIL";
    case 125: return "NVRM: Xid (PCI:\003): 125, INFOROM_FS_ERROR";
    case 126: return "NVRM: Xid (PCI:\003): 126, CE10: Unknown Error";
    case 127: return "NVRM: Xid (PCI:\003): 127, CE11: Unknown Error";
    case 128: return "NVRM: Xid (PCI:\003): 128, CE12: Unknown Error";
    case 129: return "NVRM: Xid (PCI:\003): 129, CE13: Unknown Error";
    case 130: return "NVRM: Xid (PCI:\003): 130, CE14: Unknown Error";
    case 131: return "NVRM: Xid (PCI:\003): 131, CE15: Unknown Error";
    case 132: return "NVRM: Xid (PCI:\003): 132, CE16: Unknown Error";
    case 133: return "NVRM: Xid (PCI:\003): 133, CE17: Unknown Error";
    case 134: return "NVRM: Xid (PCI:\003): 134, CE18: Unknown Error";
    case 135: return "NVRM: Xid (PCI:\003): 135, CE19: Unknown Error";
    case 136: return "NVRM: Xid (PCI:\003): 136, Link Training Failed";
    case 137: return "NVRM: Xid (PCI:\003): 137, RLW_RXPIPE interrupt hit on link 11 on GPU\004: PRIV Error";
    case 138: return "NVRM: Xid (PCI:\003): 138, ROBUST_CHANNEL_DLA_ERROR";
    case 139: return "NVRM: Xid (PCI:\003): 139, OFA1 Error";
    case 140: return "NVRM: Xid (PCI:\003): 140, An uncorrectable ECC error detected (possible firmware handling failure) DRAM:2, LTC:0, MMU:0, PCIE:0";
    case 141: return "NVRM: Xid (PCI:\003): 141, CUDA Fast Path Error";
    case 142: return "NVRM: Xid (PCI:\003): 142, NVENC3 Error";
    case 143: return "NVRM: Xid (PCI:\003): 143, Error status 0x65 while polling for FSP boot complete, 0x0, 0x9f, 0x110186, 0x1103c0, 0x5";
    case 144: return before_r575 ? "NVRM: Xid (PCI:\003): 144, SAW_MVB Fatal XC0 i0 Link 00 (0x00000021 0x00000002 0x00000000 0x00000000 0x00000000 0x00000000)"
                                 : "NVRM: Xid (PCI:\003): 144, SAW_MVB Fatal XC0 i0 Link 00 (0x00000001 0x00000002 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 145: return before_r575 ? "NVRM: Xid (PCI:\003): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a0c2 0x00000008 0x00000001 0x00000000 0x00100000 0x00000004)"
                                 : "NVRM: Xid (PCI:\003): 145, RLW_RXPIPE Nonfatal XC0 i0 Link 13 (0x0409a006 0x00000008 0x00000001 0x00000000 0x00100000 0x00000004)";
    case 146: return before_r575 ? "NVRM: Xid (PCI:\003): 146, TLW_RX_PIPE0 Fatal XC0 i0 Link 03 (0x00000143 0x00000004 0x00000000 0x00000000 0x00000000 0x00000000)"
                                 : "NVRM: Xid (PCI:\003): 146, TLW_RX_PIPE0 Fatal XC0 i0 Link 03 (0x0000000a 0x00000004 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 147: return before_r575 ? "NVRM: Xid (PCI:\003): 147, TREX Nonfatal XC0 i0 Link 00 (0x00000184 0x80000000 0x00000000 0x00000000 0x00000000 0x00000000)"
                                 : "NVRM: Xid (PCI:\003): 147, TREX Nonfatal XC0 i0 Link 00 (0x0000000e 0x80000000 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 148: return before_r575 ? "NVRM: Xid (PCI:\003): 148, NVLPW_CTRL Nonfatal XC0 i0 Link 05 (0x00000005 0x80000000 0x00000000 0x00000000 0x00000000 0x00000000)"
                                 : "NVRM: Xid (PCI:\003): 148, NVLPW_CTRL Nonfatal XC0 i0 Link 05 (0x0000000f 0x80000000 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 149: return before_r575 ? "NVRM: Xid (PCI:\003): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 09 (0x025001c6 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)"
                                 : "NVRM: Xid (PCI:\003): 149, NETIR_LINK_EVT  Fatal   XC0 i0 Link 09 (0x02500011 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 150: return "NVRM: Xid (PCI:\003): 150, MSE_WATCHDOG Fatal XC0 i0 Link 00 (0x00000000 0x00000000 0x00000000 0x00000000 0x00000000 0x00000000)";
    case 151: return "NVRM: Xid (PCI:\003): 151, Key rotation Error";
    case 152: return "NVRM: Xid (PCI:\003): 152, DLA SMMU Error";
    case 153: return "NVRM: Xid (PCI:\003): 153, DLA timeout Error";
    case 154: return "NVRM: Xid (PCI:\003): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)";
    case 155: return "NVRM: Xid (PCI:\003): 155, NVLINK: SW Defined Error";
    case 156: return "NVRM: Xid (PCI:\003): 156, Resource Retirement Event";
    case 157: return "NVRM: Xid (PCI:\003): 157, Resource Retirement Failure";
    case 158: return "NVRM: Xid (PCI:\003): 158, GPU Fatal Timeout";
    case 159: return "NVRM: Xid (PCI:\003): 159, CHI Non-Data Error";
    case 160: return "NVRM: Xid (PCI:\003): 160, Channel Retirement Event";
    case 161: return "NVRM: Xid (PCI:\003): 161, Channel Retirement Failure";
    case 162: return "NVRM: Xid (PCI:\003): 162, Power Smoothing HW Circuitry capability reengaged";
    case 163: return "NVRM: Xid (PCI:\003): 163, Power Smoothing HW Circuitry capability disengaged";
    case 164: return "NVRM: Xid (PCI:\003): 164, Power Smoothing HW Circuitry low lifetime reached";
    case 165: return "NVRM: Xid (PCI:\003): 165, Power Smoothing HW Circuitry lifetime exhausted";
    case 166: return "NVRM: Xid (PCI:\003): 166, CC traffic seen prior to link properly being configured for ";
    case 167: return "NVRM: Xid (PCI:\003): 167, PCIE_FATAL_TIMEOUT";
    case 168: return "NVRM: Xid (PCI:\003): 168, Errors found in WPR (write protected region)";
    case 169: return "NVRM: Xid (PCI:\003): 169, Internal micro-controller halt";
    case 170: return "NVRM: Xid (PCI:\003): 170, Interrupt seen in CC mode";
    case 171: return "NVRM: Xid (PCI:\003): 171, Additional to Xid 48 providing more details on particulars o";
    case 172: return "NVRM: Xid (PCI:\003): 172, Additional to Xid 48 providing more details on particulars o";
    default: return NULL;
  }
}

#endif
