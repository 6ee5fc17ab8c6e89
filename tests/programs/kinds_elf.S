// Symbols that only assembly makes, for the host in kinds.c.
        .text
        .globl  untyped_function                // no .type: STT_NOTYPE
untyped_function:
        add     w0, w0, #20
        ret
        .byte   0, 0
        .globl  misaligned_function
        .type   misaligned_function, %function
misaligned_function:
        .byte   0, 0
        ret

        .data
        .globl  function_in_data                // a function where nothing may be executed
        .type   function_in_data, %function
function_in_data:
        ret

        .globl  absolute_value
        .set    absolute_value, 0x1234
        .section .note.GNU-stack, "", %progbits
