// _start with a BTI landing pad and the property that says so: Debian's start-up objects have neither, and a
// linker drops the property from its output if one input lacks it.
        .text
        .globl  _start
        .type   _start, %function
_start:
        hint    #34                     // bti c
        mov     x29, xzr
        mov     x30, xzr
        mov     x5, x0                  // rtld_fini
        ldr     x1, [sp]                // argc
        add     x2, sp, #8              // argv
        mov     x6, sp                  // stack_end
        adrp    x0, :got:main
        ldr     x0, [x0, :got_lo12:main]
        mov     x3, xzr                 // init
        mov     x4, xzr                 // fini
        bl      __libc_start_main
        bl      abort
        .size   _start, . - _start

        .section .note.gnu.property, "a"
        .balign 8
        .word   4, 16, 5                // name size, descriptor size, NT_GNU_PROPERTY_TYPE_0
        .asciz  "GNU"
        .word   0xc0000000, 4, 3, 0     // GNU_PROPERTY_AARCH64_FEATURE_1_AND: BTI, PAC
        .section .note.GNU-stack, "", %progbits
