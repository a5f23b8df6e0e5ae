/* Assembly macros: one exported entry per function (functions.def), and the way into C.
 *
 * A thunk loads the pointer to the armed word and the word; when it is zero it jumps to the real function with every
 * register and the stack as the caller left them. Otherwise, or while the real function is not known, it enters
 * offbus_slow with the function's index. `entry_NAME` is a hidden alias, so that another interposer in front of us
 * cannot change what our own table points to.
 */
#ifndef OFFBUS_THUNK_H
#define OFFBUS_THUNK_H

#define ENTRY(name)                                                                                                    \
  .globl name; .type name, %function; .globl entry_##name; .hidden entry_##name; .p2align 4; name: entry_##name:

#if defined(__x86_64__)

#define THUNK(name, index)                                                                                             \
  ENTRY(name) endbr64; movq offbus_word(%rip), %r11; cmpl $0, (%r11); jne 9f;                                          \
  movq offbus_real + 8 * index(%rip), %r11; testq %r11, %r11; je 9f; jmpq *%r11;                                       \
  9: movl $index, %r11d; jmp offbus_slow; .size name, . - name
#define HOOK(name, index) ENTRY(name) endbr64; movl $index, %r11d; jmp offbus_slow; .size name, . - name

#elif defined(__aarch64__)

#define THUNK(name, index)                                                                                             \
  ENTRY(name) hint 34; adrp x16, offbus_word; ldr x16, [x16, :lo12:offbus_word]; ldr w16, [x16]; cbnz w16, 9f;        \
  adrp x16, offbus_real + 8 * index; ldr x16, [x16, :lo12:offbus_real + 8 * index]; cbz x16, 9f; br x16;               \
  9: movz w17, index; b offbus_slow; .size name, . - name
#define HOOK(name, index) ENTRY(name) hint 34; movz w17, index; b offbus_slow; .size name, . - name

#else
#error "offbus: thunks exist for x86-64 and aarch64"
#endif

/* Nothing is pushed in a thunk, so one frame description serves them all. */
#define THUNKS_BEGIN .text; .cfi_startproc
#define THUNKS_END .cfi_endproc; .section .note.GNU-stack, "", %progbits

#endif
