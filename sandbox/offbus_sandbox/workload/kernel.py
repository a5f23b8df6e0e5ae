"""The worker's one kernel, `offbus_axpy`: y[i] = a * x[i] + y[i] for i < n, as PTX.

A real driver compiles the text; the stand-in driver (shim/standin) knows the kernel by its name and computes the same
on the host. Parameters, in order: u64 y, u64 x, f32 a, u32 n. One thread per element, one block.
"""

__all__ = ["KERNEL_NAME", "MAX_ELEMENTS", "MODULE"]

KERNEL_NAME = "offbus_axpy"
MAX_ELEMENTS = 1024
"""Threads that one block may have on every GPU since compute capability 2.0."""

MODULE = b"""
.version 6.0
.target sm_50
.address_size 64

.visible .entry offbus_axpy(.param .u64 py, .param .u64 px, .param .f32 pa, .param .u32 pn)
{
    .reg .pred  %p<2>;
    .reg .f32   %f<5>;
    .reg .b32   %r<4>;
    .reg .b64   %rd<8>;

    ld.param.u64    %rd1, [px];
    ld.param.u64    %rd2, [py];
    ld.param.f32    %f1, [pa];
    ld.param.u32    %r1, [pn];
    mov.u32         %r2, %tid.x;
    setp.ge.u32     %p1, %r2, %r1;
    @%p1 bra        DONE;
    cvta.to.global.u64 %rd3, %rd1;
    cvta.to.global.u64 %rd4, %rd2;
    mul.wide.u32    %rd5, %r2, 4;
    add.s64         %rd6, %rd3, %rd5;
    add.s64         %rd7, %rd4, %rd5;
    ld.global.f32   %f2, [%rd6];
    ld.global.f32   %f3, [%rd7];
    fma.rn.f32      %f4, %f1, %f2, %f3;
    st.global.f32   [%rd7], %f4;
DONE:
    ret;
}
"""
