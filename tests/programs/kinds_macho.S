; Symbols that only assembly makes, for the host in kinds.c.
        .text
        .globl  _misaligned_function
        .byte   0, 0
_misaligned_function:
        .byte   0, 0
        ret

        .globl  _alias_of_global
        .set    _alias_of_global, _untyped_function
        .globl  _untyped_function
        .p2align 2
_untyped_function:
        add     w0, w0, #20
        ret

        .globl  _absolute_value
        .set    _absolute_value, 0x1234
        .subsections_via_symbols
