"""Options of GNU ld, lld, mold and gold: the union of what the four accept.

Names, forms and operand counts are those of the linkers' manuals, checked against the linkers themselves by
``tests/linkplan/test_arity_oracle.py``. Where they differ, the comment names the linker that forces the row.
"""

from __future__ import annotations

from functools import cache

from stubgen.linkplan.options import (
    EQUALS,
    FLAG,
    JOINED_OR_SEPARATE,
    SEPARATE,
    SEPARATE_OR_EQUALS,
    Grammar,
    Role,
    Row,
)

ROWS: tuple[Row, ...] = (
    (Role.OUTPUT, JOINED_OR_SEPARATE, "-o"),
    (Role.SHARED, FLAG, "-shared -Bshareable"),
    (Role.MODE, FLAG, "-pie --pic-executable -no-pie --no-pic-executable -call_shared -dy"),
    (Role.STATIC, FLAG, "-static -static-pie"),
    (Role.RELOCATABLE, FLAG, "-r -i --relocatable -Ur"),
    (Role.SEARCH, JOINED_OR_SEPARATE, "-L"),
    (Role.SEARCH, SEPARATE_OR_EQUALS, "--library-path --sysroot -rpath -rpath-link --chroot"),
    (Role.SYMBOLS_FILE, JOINED_OR_SEPARATE, "-R"),
    (Role.LIBRARY, JOINED_OR_SEPARATE, "-l"),
    (Role.LIBRARY, SEPARATE_OR_EQUALS, "--library"),
    (Role.TARGET, JOINED_OR_SEPARATE, "-m -A"),
    (Role.TARGET, SEPARATE_OR_EQUALS, "--architecture"),
    (Role.TARGET, FLAG, "-EB -EL"),
    (
        Role.UNRESOLVED,
        FLAG,
        "--no-undefined --no-allow-shlib-undefined --error-unresolved-symbols --warn-unresolved-symbols",
    ),
    (Role.UNRESOLVED, SEPARATE_OR_EQUALS, "--unresolved-symbols"),
    (
        Role.SYMBOL_LIST,
        SEPARATE_OR_EQUALS,
        "--version-script --dynamic-list --retain-symbols-file --symbol-ordering-file "
        "--call-graph-ordering-file --section-ordering-file --require-defined --just-symbols --version-exports-section",
    ),
    (Role.SYMBOL_LIST, FLAG, "--no-undefined-version"),
    (Role.STRIP, FLAG, "--gc-sections --strip-all -s --strip-debug -S --discard-all -x"),
    (Role.STRIP, FLAG, "--strip-debug-gdb --strip-debug-non-line"),
    (Role.IDENTITY, SEPARATE_OR_EQUALS, "-soname"),
    (Role.IDENTITY, JOINED_OR_SEPARATE, "-h"),
    (
        Role.SIDE_OUTPUT,
        SEPARATE_OR_EQUALS,
        "-Map --dependency-file --reproduce --print-symbol-order",
    ),
    (
        Role.SIDE_OUTPUT,
        EQUALS,
        "--why-extract --print-archive-stats --time-trace --thinlto-index-only --thinlto-emit-imports-files "
        "--separate-debug-file",
    ),
    (Role.SIDE_OUTPUT, FLAG, "--emit-relocs -q"),
    (Role.SIDE_OUTPUT, SEPARATE, "--print-symbol-counts"),  # gold
    (Role.EXECUTABLE, JOINED_OR_SEPARATE, "-e"),
    (Role.EXECUTABLE, SEPARATE_OR_EQUALS, "--entry --image-base -Ttext -Tdata -Tbss -Ttext-segment"),
    (Role.EXECUTABLE, SEPARATE_OR_EQUALS, "-Trodata-segment -Tldata-segment --section-start"),
    (Role.EXECUTABLE, FLAG, "-N"),
    (Role.FINAL, FLAG, "--export-dynamic -E --gdb-index"),
    (Role.FINAL, EQUALS, "--icf"),
    (Role.LAYOUT, JOINED_OR_SEPARATE, "-T"),
    (Role.LAYOUT, SEPARATE_OR_EQUALS, "--script --default-script"),
    (Role.LAYOUT, SEPARATE, "-dT"),
    (Role.KEYWORD, JOINED_OR_SEPARATE, "-z"),
    (
        Role.PLAIN,
        JOINED_OR_SEPARATE,
        "-u -y -I -F -f -a -b -c -G -Y -P -O",
    ),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        "--dynamic-linker --undefined --trace-symbol --wrap --defsym --exclude-libs --init --fini -plugin "
        "-plugin-opt --auxiliary --filter --audit --depaudit --format --mri-script --hash-style "
        "--orphan-handling --sort-section --pack-dyn-relocs --ignore-unresolved-symbol --keep-unique --mllvm "
        "--compress-debug-sections --compress-sections --android-memtag-mode --rsp-quoting --remap-inputs "
        "--split-stack-adjust-size --target2 --time-trace-granularity --warn-backrefs-exclude "
        "--shuffle-sections --thinlto-cache-dir --thinlto-cache-policy --thinlto-jobs "
        "--thinlto-object-suffix-replace --thinlto-prefix-replace --task-link --spare-dynamic-tags "
        "--dtlto-distributor",
    ),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        # gold's
        "--thread-count --thread-count-initial --thread-count-middle --thread-count-final --stub-group-size "
        "--icf-iterations --incremental-base --rosegment-gap --hash-bucket-empty-fraction "
        "--build-id-chunk-size-for-treehash --build-id-min-file-size-for-treehash",
    ),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        # GNU ld's for Windows
        "--major-image-version --minor-image-version --major-os-version --minor-os-version --subsystem "
        "--major-subsystem-version --minor-subsystem-version --file-alignment --section-alignment --heap --stack",
    ),
    (Role.ARCHIVES, FLAG, "-Bstatic -dn -non_shared --whole-archive --no-whole-archive"),
    (Role.PLAIN, SEPARATE, "-assert"),
    (
        Role.PLAIN,
        EQUALS,
        "--package-metadata --build-id --unique --threads --push-state --color-diagnostics --sort-common",
    ),
    (
        Role.PLAIN,
        FLAG,
        "--as-needed --no-as-needed --add-needed --no-add-needed -Bdynamic "
        "-Bsymbolic -Bsymbolic-functions -Bno-symbolic -Bgroup --start-group "
        "--end-group -( -) --start-lib --end-lib --pop-state "
        "--no-export-dynamic --no-build-id --eh-frame-hdr --no-eh-frame-hdr --no-gc-sections "
        "--enable-new-dtags --disable-new-dtags --no-dynamic-linker --allow-shlib-undefined "
        "--undefined-version --allow-multiple-definition --fatal-warnings --no-fatal-warnings -v --version "
        "--verbose -V --trace -t -M --print-map --stats --no-stats --demangle --no-demangle --relax --no-relax "
        "--nmagic -n --no-nmagic --no-omagic --rosegment --no-rosegment --discard-locals -X --discard-none "
        "--no-icf -d -dc -dp -Qy --no-keep-memory --warn-common --warn-shared-textrel "
        "-nostdlib --noinhibit-exec --noinhibit_exec --check-sections --no-check-sections "
        "--ld-generated-unwind-info --no-ld-generated-unwind-info --copy-dt-needed-entries "
        "--no-copy-dt-needed-entries --fix-cortex-a53-843419 --fix-cortex-a53-835769 -g -help "
        # Listed so that no shorter joined option (-e, -h, -T) takes them.
        "--embedded-relocs --enable-non-contiguous-regions --enable-non-contiguous-regions-warnings",
    ),
)
"""Options that take one dash or two, however they are spelled here."""

TWO_DASH_ROWS: tuple[Row, ...] = (
    (Role.OUTPUT, SEPARATE_OR_EQUALS, "--output"),
    (Role.SYMBOL_LIST, SEPARATE_OR_EQUALS, "--export-dynamic-symbol-list"),
    (Role.SIDE_OUTPUT, SEPARATE_OR_EQUALS, "--out-implib --output-def --lto-obj-path --opt-remarks-filename"),
    (Role.EXECUTABLE, FLAG, "--omagic"),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        "--export-dynamic-symbol --oformat --error-limit --error-handling-script --hash-size --load-pass-plugin "
        "--lto-known-safe-vtables --undefined-glob --opt-remarks-format --opt-remarks-hotness-threshold "
        "--opt-remarks-passes",
    ),
)
"""Options of which a single-dash spelling is another one: ``-oformat`` is ``-o format``."""


KEYWORDS = {
    "defs": Role.UNRESOLVED,
    "undefs": Role.UNRESOLVED,
    "nodlopen": Role.NOT_LOADABLE,
}
"""Operands of ``-z`` that the plan acts on; every other one is kept."""


@cache
def grammar() -> Grammar:
    """The table, ready for look-up."""
    return Grammar("GNU-style linker", TWO_DASH_ROWS, either_dash=ROWS, keywords=KEYWORDS)
