/* Every form of a local-exec access, by hand: fills the array at x0 for own_forms.c. */
        .section .tdata, "awT", @progbits
        .balign 16
        .globl forms, forms_far, lone
        .hidden forms, forms_far, lone
        .type forms, %tls_object
forms:  .quad 5, 6, 0x0807060504030207, 8
        .zero 5000
        .type forms_far, %tls_object
forms_far:
        .quad 9
        .type lone, %tls_object
lone:   .quad 10, 11

        .text
        .globl forms_fill
        .type forms_fill, %function
forms_fill:
        stp x29, x30, [sp, #-16]!
        mrs x9, tpidr_el0
        add x10, x9, #:tprel_hi12:forms+8, lsl #12
        add x11, x10, #:tprel_lo12_nc:forms+8
        str x11, [x0]
        add x10, x9, #:tprel_hi12:forms+5032, lsl #12
        add x10, x10, #:tprel_lo12_nc:forms+5032
        str x10, [x0, #8]
        add x10, x9, #:tprel_hi12:forms_far-8, lsl #12
        add x10, x10, #:tprel_lo12_nc:forms_far-8
        str x10, [x0, #16]
        add x10, x9, #:tprel_hi12:.tdata+24, lsl #12
        add x10, x10, #:tprel_lo12_nc:.tdata+24
        str x10, [x0, #24]
        add x10, x9, #:tprel_hi12:forms+16, lsl #12
        ldrb w11, [x10, #:tprel_lo12_nc:forms+16]
        str x11, [x0, #32]
        ldrh w11, [x10, #:tprel_lo12_nc:forms+18]
        str x11, [x0, #40]
        ldr w11, [x10, #:tprel_lo12_nc:forms+20]
        str x11, [x0, #48]
        ldr x11, [x10, #:tprel_lo12_nc:forms+24]
        str x11, [x0, #56]
        ldr q0, [x10, #:tprel_lo12_nc:forms]
        str q0, [x0, #64]
        movz x10, #:tprel_g2:forms+8
        movk x10, #:tprel_g1_nc:forms+8
        movk x10, #:tprel_g0_nc:forms+8
        add x10, x9, x10
        str x10, [x0, #80]
        movn x10, #:tprel_g1:forms_far
        movk x10, #:tprel_g0_nc:forms_far
        add x10, x9, x10
        str x10, [x0, #88]
        movz x10, #:tprel_g0:forms+16
        add x10, x9, x10
        str x10, [x0, #96]
        add x10, x9, #:tprel_lo12:lone+8
        str x10, [x0, #104]
        cmp x9, x9
        add x10, x9, #:tprel_hi12:forms, lsl #12
        cset x11, eq
        str x11, [x0, #112]
        mov x30, x9
        add x30, x30, #:tprel_hi12:forms, lsl #12
        add x30, x30, #:tprel_lo12_nc:forms
        str x30, [x0, #120]
        ldp x29, x30, [sp], #16
        ret
        .size forms_fill, . - forms_fill
        .word 0, 0
        .byte 1
        .section .note.GNU-stack, "", @progbits
