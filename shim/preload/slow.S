/* From a thunk into C and back: offbus_dispatch(index, argument registers) decides the call.
 *
 * It returns {target, value}: a target is jumped to with the arguments unchanged (or as a hook changed them) and the
 * caller's return address on top, so that dlsym(RTLD_NEXT) and friends see their caller; without a target, the value is
 * returned.
 */
#if defined(__x86_64__)
  .text
  .hidden offbus_slow
  .globl offbus_slow
  .type offbus_slow, %function
offbus_slow:
  .cfi_startproc
  pushq %rbp
  .cfi_def_cfa_offset 16
  .cfi_offset %rbp, -16
  movq %rsp, %rbp
  .cfi_def_cfa_register %rbp
  subq $112, %rsp
  movq %rdi, -48(%rbp)
  movq %rsi, -40(%rbp)
  movq %rdx, -32(%rbp)
  movq %rcx, -24(%rbp)
  movq %r8, -16(%rbp)
  movq %r9, -8(%rbp)
  movaps %xmm0, -64(%rbp)
  movaps %xmm1, -80(%rbp)
  movaps %xmm2, -96(%rbp)
  movaps %xmm3, -112(%rbp)
  movl %r11d, %edi
  leaq -48(%rbp), %rsi
  call offbus_dispatch
  testq %rax, %rax
  je 1f
  movq %rax, %r11
  movq -48(%rbp), %rdi
  movq -40(%rbp), %rsi
  movq -32(%rbp), %rdx
  movq -24(%rbp), %rcx
  movq -16(%rbp), %r8
  movq -8(%rbp), %r9
  movaps -64(%rbp), %xmm0
  movaps -80(%rbp), %xmm1
  movaps -96(%rbp), %xmm2
  movaps -112(%rbp), %xmm3
  leave
  .cfi_remember_state
  .cfi_def_cfa %rsp, 8
  jmpq *%r11
1:
  .cfi_restore_state
  movq %rdx, %rax
  leave
  .cfi_def_cfa %rsp, 8
  ret
  .cfi_endproc
  .size offbus_slow, . - offbus_slow

#elif defined(__aarch64__)
  .text
  .hidden offbus_slow
  .globl offbus_slow
  .type offbus_slow, %function
offbus_slow:
  .cfi_startproc
  stp x29, x30, [sp, #-208]!
  .cfi_def_cfa_offset 208
  .cfi_offset 29, -208
  .cfi_offset 30, -200
  mov x29, sp
  stp x0, x1, [sp, #16]
  stp x2, x3, [sp, #32]
  stp x4, x5, [sp, #48]
  stp x6, x7, [sp, #64]
  str x8, [sp, #80]
  stp q0, q1, [sp, #96]
  stp q2, q3, [sp, #128]
  stp q4, q5, [sp, #160]
  mov w0, w17
  add x1, sp, #16
  bl offbus_dispatch
  cbz x0, 1f
  mov x16, x0
  ldp x0, x1, [sp, #16]
  ldp x2, x3, [sp, #32]
  ldp x4, x5, [sp, #48]
  ldp x6, x7, [sp, #64]
  ldr x8, [sp, #80]
  ldp q0, q1, [sp, #96]
  ldp q2, q3, [sp, #128]
  ldp q4, q5, [sp, #160]
  ldp x29, x30, [sp], #208
  .cfi_remember_state
  .cfi_def_cfa_offset 0
  br x16
1:
  .cfi_restore_state
  mov x0, x1
  ldp x29, x30, [sp], #208
  .cfi_def_cfa_offset 0
  ret
  .cfi_endproc
  .size offbus_slow, . - offbus_slow
#endif
  .section .note.GNU-stack, "", %progbits
