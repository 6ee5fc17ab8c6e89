"""Options of GNU ld, lld, mold and gold: the union of what the four accept.

Names, forms and operand counts are those of the linkers' manuals, checked against the linkers themselves by
``tests/linkplan/test_arity_oracle.py``. Where they differ, the comment names the linker that forces the row.
"""

from __future__ import annotations

from functools import cache

from stubgen.linkplan.options import (
    EQUALS,
    FLAG,
    JOINED,
    JOINED_OR_SEPARATE,
    SEPARATE,
    SEPARATE_OR_EQUALS,
    Grammar,
    OptionRow,
    Role,
)

ROWS: tuple[OptionRow, ...] = (
    (Role.OUTPUT, JOINED_OR_SEPARATE, "-o"),
    (Role.SHARED, FLAG, "-shared -Bshareable"),
    (Role.MODE, FLAG, "-pie --pic-executable -no-pie --no-pic-executable -call_shared -dy"),
    (Role.STATIC, FLAG, "-static -static-pie"),
    (Role.RELOCATABLE, FLAG, "-r -i --relocatable -Ur"),
    (Role.RELOCATABLE, SEPARATE_OR_EQUALS, "--task-link"),
    (
        Role.NO_LINK,
        FLAG,
        "--help -help --version --target-help --print-output-format --print-sysroot",
    ),
    (Role.NO_LINK, SEPARATE, "--run"),  # mold: runs a build with itself as the linker
    (Role.NO_LINK, EQUALS, "--thinlto-index-only"),
    (Role.SEARCH, JOINED_OR_SEPARATE, "-L -C"),
    (Role.SEARCH, SEPARATE_OR_EQUALS, "--library-path --sysroot -rpath -rpath-link --chroot --directory"),
    (Role.SYMBOLS_FILE, JOINED_OR_SEPARATE, "-R"),
    (Role.LIBRARY, JOINED_OR_SEPARATE, "-l"),
    (Role.LIBRARY, SEPARATE_OR_EQUALS, "--library"),
    (Role.TARGET, JOINED_OR_SEPARATE, "-m -A"),
    (Role.TARGET, SEPARATE_OR_EQUALS, "--architecture"),
    (Role.TARGET, FLAG, "-EB -EL"),
    (Role.INPUT, EQUALS, "--remap-inputs-file --thinlto-single-module --in-implib"),
    (Role.INPUT, SEPARATE_OR_EQUALS, "--remap-inputs"),
    (Role.INPUT_FORMAT, JOINED_OR_SEPARATE, "-b"),
    (Role.INPUT_FORMAT, SEPARATE_OR_EQUALS, "--format"),
    (Role.GROUPING, FLAG, "--start-lib --end-lib"),
    (
        Role.UNRESOLVED,
        FLAG,
        "--no-undefined --no-allow-shlib-undefined --error-unresolved-symbols --warn-unresolved-symbols "
        "--weak-unresolved-symbols",
    ),
    (Role.UNRESOLVED, SEPARATE_OR_EQUALS, "--unresolved-symbols --ignore-unresolved-symbol"),
    (Role.INITIALISER, SEPARATE_OR_EQUALS, "--init --fini"),
    (Role.DEFINITION, SEPARATE_OR_EQUALS, "--defsym"),
    (Role.ROOT, JOINED_OR_SEPARATE, "-u"),
    (Role.ROOT, SEPARATE_OR_EQUALS, "--undefined --require-defined"),
    (Role.SYMBOL, SEPARATE_OR_EQUALS, "--keep-unique"),
    (Role.WRAP, SEPARATE_OR_EQUALS, "--wrap"),
    (
        Role.SYMBOL_LIST,
        SEPARATE_OR_EQUALS,
        "--version-script --dynamic-list --retain-symbols-file --symbol-ordering-file "
        "--call-graph-ordering-file --section-ordering-file --just-symbols --version-exports-section",
    ),
    (Role.SYMBOL_LIST, FLAG, "--no-undefined-version"),
    (Role.VERSIONS, FLAG, "--default-symver --default-imported-symver"),
    (Role.STRIP, FLAG, "--gc-sections --strip-all -s --strip-debug -S --discard-all -x"),
    (Role.STRIP, FLAG, "--strip-debug-gdb --strip-debug-non-line"),
    (Role.IDENTITY, SEPARATE_OR_EQUALS, "-soname"),
    (Role.IDENTITY, JOINED_OR_SEPARATE, "-h"),
    (Role.BUILD_ID, EQUALS, "--build-id"),
    (
        Role.SIDE_OUTPUT,
        SEPARATE_OR_EQUALS,
        "-Map --dependency-file --reproduce --print-symbol-order",
    ),
    (
        Role.SIDE_OUTPUT,
        EQUALS,
        "--why-extract --print-archive-stats --time-trace --thinlto-emit-imports-files --separate-debug-file",
    ),
    (Role.SIDE_OUTPUT, FLAG, "--emit-relocs -q --repro --cmse-implib"),
    (Role.SIDE_OUTPUT, SEPARATE, "--print-symbol-counts"),  # gold
    (
        Role.SIDE_OUTPUT,
        FLAG,
        # gold's, which changes the output of the last link in place
        "--incremental --no-incremental --incremental-full --incremental-update --incremental-changed "
        "--incremental-unchanged --incremental-unknown --incremental-startup-unchanged",
    ),
    (Role.SIDE_OUTPUT, SEPARATE_OR_EQUALS, "--incremental-base --incremental-patch"),
    (
        Role.REPORT,
        FLAG,
        "--cref --no-cref --print-map -M --trace -t --stats --no-stats --perf --print-memory-usage "
        "--print-gc-sections --no-print-gc-sections --print-icf-sections --no-print-icf-sections "
        "--print-map-discarded --no-print-map-discarded",
    ),
    (Role.REPORT, JOINED_OR_SEPARATE, "-y"),
    (Role.REPORT, EQUALS, "--verbose"),
    (Role.REPORT, SEPARATE_OR_EQUALS, "--trace-symbol --debug"),
    (Role.EXECUTABLE, JOINED_OR_SEPARATE, "-e -I"),
    (Role.EXECUTABLE, SEPARATE_OR_EQUALS, "--entry --image-base -Ttext -Tdata -Tbss -Ttext-segment"),
    (Role.EXECUTABLE, SEPARATE_OR_EQUALS, "-Trodata-segment -Tldata-segment --section-start --dynamic-linker"),
    (Role.EXECUTABLE, EQUALS, "--thumb-entry"),
    (Role.EXECUTABLE, FLAG, "-N --no-dynamic-linker --force-exe-suffix"),
    (Role.FINAL, FLAG, "--export-dynamic -E --gdb-index"),
    (Role.FOLDING, EQUALS, "--icf"),
    (Role.LAYOUT, JOINED_OR_SEPARATE, "-T -c"),
    (Role.LAYOUT, SEPARATE_OR_EQUALS, "--script --default-script --mri-script"),
    (Role.LAYOUT, SEPARATE, "-dT"),
    (Role.NOT_LOADABLE, FLAG, "--nmagic -n -Bgroup"),
    (Role.NOT_LOADABLE, JOINED_OR_SEPARATE, "-f -F -P"),
    (Role.NOT_LOADABLE, SEPARATE_OR_EQUALS, "--auxiliary --filter --audit --depaudit"),
    (Role.KEYWORD, JOINED_OR_SEPARATE, "-z"),
    (
        Role.PLAIN,
        JOINED_OR_SEPARATE,
        "-a -G -Y -O",
    ),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        "--exclude-libs -plugin -plugin-opt --hash-style "
        "--orphan-handling --sort-section --pack-dyn-relocs --mllvm --gpsize "
        "--compress-debug-sections --compress-sections --android-memtag-mode --rsp-quoting "
        "--split-stack-adjust-size --target2 --time-trace-granularity --warn-backrefs-exclude "
        "--shuffle-sections --thinlto-cache-dir --thinlto-cache-policy --thinlto-jobs "
        "--thinlto-object-suffix-replace --thinlto-prefix-replace --spare-dynamic-tags "
        "--dtlto-distributor -flto-partition -fuse-ld",
    ),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        # gold's
        "--thread-count --thread-count-initial --thread-count-middle --thread-count-final --stub-group-size "
        "--icf-iterations --rosegment-gap --hash-bucket-empty-fraction "
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
        "--package-metadata --unique --threads --push-state --color-diagnostics --sort-common --max-cache-size "
        "--split-by-file --split-by-reloc --demangle --ctf-share-types --fix-cortex-a53-843419 "
        "--call-graph-profile-sort --power10-stubs --plt-align --save-temps --relax-gp "
        "--bp-startup-sort --irpgo-profile --randomize-section-padding -flto",
    ),
    (
        Role.PLAIN,
        FLAG,
        "--as-needed --no-as-needed --add-needed --no-add-needed -Bdynamic "
        "-Bsymbolic -Bsymbolic-functions -Bno-symbolic --start-group --end-group -( -) --pop-state "
        "--no-export-dynamic --no-build-id --eh-frame-hdr --no-eh-frame-hdr --no-gc-sections "
        "--enable-new-dtags --disable-new-dtags --allow-shlib-undefined "
        "--undefined-version --allow-multiple-definition --fatal-warnings --no-fatal-warnings -v "
        "-V --no-demangle --relax --no-relax "
        "--no-nmagic --no-omagic --rosegment --no-rosegment --discard-locals -X --discard-none "
        "--no-icf -d -dc -dp -Qy --no-keep-memory --warn-common --warn-shared-textrel "
        "-nostdlib --noinhibit-exec --noinhibit_exec --check-sections --no-check-sections "
        "--ld-generated-unwind-info --no-ld-generated-unwind-info --copy-dt-needed-entries "
        "--no-copy-dt-needed-entries --fix-cortex-a53-835769 -g "
        # Listed so that no shorter joined option (-e, -h, -T) takes them.
        "--embedded-relocs --enable-non-contiguous-regions --enable-non-contiguous-regions-warnings",
    ),
    (
        Role.PLAIN,
        FLAG,
        # What is worth a warning.
        "--no-warnings -w --no-warn-mismatch --no-warn-search-mismatch --warn-search-mismatch --warn-constructors "
        "--no-warn-constructors --warn-execstack --no-warn-execstack --warn-rwx-segments --no-warn-rwx-segments "
        "--warn-multiple-gp --warn-once --warn-section-align --warn-textrel --warn-alternate-em --no-warn-common "
        "--warn-backrefs --no-warn-backrefs --warn-ifunc-textrel --no-warn-ifunc-textrel --warn-symbol-ordering "
        "--no-warn-symbol-ordering --no-warn-shared-textrel --warn-drop-version --no-warn-drop-version "
        "--detect-odr-violations --no-detect-odr-violations --no-enum-size-warning --no-wchar-size-warning "
        "--vs-diagnostics --no-color-diagnostics --no-allow-multiple-definition --disable-multiple-abs-defs "
        "--accept-unknown-input-arch --no-accept-unknown-input-arch",
    ),
    (
        Role.PLAIN,
        FLAG,
        # How code and tables are laid out, the patch's as the host's.
        "--force-group-allocation --strip-discarded --no-strip-discarded --gc-keep-exported --no-define-common "
        "--define-common --traditional-format --dynamic-list-data --dynamic-list-cpp-new --dynamic-list-cpp-typeinfo "
        "--apply-dynamic-relocs --no-apply-dynamic-relocs --pic-veneer --android-memtag-heap --android-memtag-stack "
        "--be8 -Bsymbolic-non-weak -Bsymbolic-non-weak-functions --debug-names --no-debug-names "
        "--dependent-libraries --no-dependent-libraries --execute-only --no-execute-only --fat-lto-objects "
        "--no-fat-lto-objects --fix-cortex-a8 --no-fix-cortex-a8 --fortran-common --no-fortran-common --gnu-unique "
        "--no-gnu-unique --ignore-data-address-equality --ignore-function-address-equality --merge-exidx-entries "
        "--no-merge-exidx-entries --no-gdb-index --optimize-bb-jumps --no-optimize-bb-jumps --pcrel-optimize "
        "--no-pcrel-optimize --no-power10-stubs --no-relax-gp --target1-abs --target1-rel --toc-optimize "
        "--no-toc-optimize --use-android-relr-tags --no-use-android-relr-tags --ctors-in-init-array "
        "--no-ctors-in-init-array --fix-arm1176 --no-fix-arm1176 --no-fix-cortex-a53-843419 "
        "--no-fix-cortex-a53-835769 --fix-v4bx --fix-v4bx-interworking --fix-stm32l4xx-629360 --use-blx "
        "--vfp11-denorm-fix --long-plt --no-long-plt --emit-stub-syms --no-emit-stub-syms -no-pipeline-knowledge "
        "--plt-localentry --no-plt-localentry --plt-static-chain --no-plt-static-chain --plt-thread-safe "
        "--no-plt-thread-safe --strip-lto-sections --secure-plt --stub-group-multi --no-stub-group-multi "
        "--text-reorder --no-text-reorder --tls-optimize --no-tls-optimize --tls-get-addr-optimize "
        "--no-tls-get-addr-optimize --toc-sort --no-toc-sort --ctf-variables --no-ctf-variables --reverse-sections",
    ),
    (
        Role.PLAIN,
        FLAG,
        # How the linker itself runs; and what it ignores.
        "--reduce-memory-overheads --mmap-output-file --no-mmap-output-file --fork --no-fork --quick-exit "
        "--no-quick-exit --no-threads --keep-files-mapped --no-keep-files-mapped --map-whole-files "
        "--no-map-whole-files --posix-fallocate --no-posix-fallocate --preread-archive-symbols -qmagic -p",
    ),
)
"""Options that take one dash or two, however they are spelled here."""

TWO_DASH_ROWS: tuple[OptionRow, ...] = (
    (Role.OUTPUT, SEPARATE_OR_EQUALS, "--output"),
    (Role.SYMBOL_LIST, SEPARATE_OR_EQUALS, "--export-dynamic-symbol-list"),
    (Role.EXPORT, SEPARATE_OR_EQUALS, "--export-dynamic-symbol"),
    (Role.ROOT, SEPARATE_OR_EQUALS, "--undefined-glob"),
    (Role.SIDE_OUTPUT, SEPARATE_OR_EQUALS, "--out-implib --output-def --lto-obj-path --opt-remarks-filename"),
    (Role.EXECUTABLE, FLAG, "--omagic"),
    (Role.OUTPUT_FORMAT, SEPARATE_OR_EQUALS, "--oformat"),
    (Role.NO_LINK, FLAG, "--lto-emit-asm --lto-emit-llvm"),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        "--error-limit --error-handling-script --hash-size --load-pass-plugin "
        "--lto-known-safe-vtables --opt-remarks-format --opt-remarks-hotness-threshold "
        "--opt-remarks-passes",
    ),
    (
        Role.PLAIN,
        EQUALS,
        "--lto --lto-aa-pipeline --lto-basic-block-sections --lto-cs-profile-file --lto-newpm-passes "
        "--lto-partitions --lto-sample-profile",
    ),
    (Role.PLAIN, JOINED, "--lto-O --lto-CGO"),
    (
        Role.PLAIN,
        FLAG,
        "--lto-basic-block-address-map --no-lto-basic-block-address-map --lto-cs-profile-generate "
        "--lto-debug-pass-manager --lto-pgo-warn-mismatch --no-lto-pgo-warn-mismatch "
        "--lto-unique-basic-block-section-names --no-lto-unique-basic-block-section-names "
        "--lto-validate-all-vtables-have-type-infos --no-lto-validate-all-vtables-have-type-infos "
        "--lto-whole-program-visibility --no-lto-whole-program-visibility --opt-remarks-with-hotness",
    ),
)
"""Options of which a single-dash spelling is another one: ``-oformat`` is ``-o format``."""


KEYWORDS = {
    "defs": Role.UNRESOLVED,
    "undefs": Role.UNRESOLVED,
    "nodefs": Role.UNRESOLVED,  # mold's
    "nodlopen": Role.NOT_LOADABLE,
    "nodelete": Role.NOT_LOADABLE,  # its destructors would not run at dlclose
    "initfirst": Role.NOT_LOADABLE,
    "interpose": Role.NOT_LOADABLE,
    "global": Role.NOT_LOADABLE,
    "globalaudit": Role.NOT_LOADABLE,
    "loadfltr": Role.NOT_LOADABLE,
    "unique": Role.NOT_LOADABLE,
    "execstack": Role.NOT_LOADABLE,
    "execstack-if-needed": Role.NOT_LOADABLE,
    "nognustack": Role.NOT_LOADABLE,  # without PT_GNU_STACK, glibc makes stacks executable
    "wxneeded": Role.NOT_LOADABLE,
    "notext": Role.NOT_LOADABLE,  # lld writes DT_TEXTREL for it, whatever the objects hold
    "textoff": Role.NOT_LOADABLE,
    "stack-size": Role.EXECUTABLE,
    "nosectionheader": Role.STRIP,
    "unique-symbol": Role.STRIP,  # numbers local symbols of one name anew
}
"""Operands of ``-z``, up to their ``=``, that the plan acts on; every other one is kept."""

_KEPT_KEYWORDS = (
    "now lazy relro norelro text combreloc nocombreloc common nocommon nocopyreloc copyreloc nodefaultlib "
    "nodump origin muldefs noexecstack common-page-size max-page-size separate-code noseparate-code "
    "separate-loadable-segments start-stop-gc nostart-stop-gc start-stop-visibility nounique nounique-symbol "
    "keep-text-section-prefix nokeep-text-section-prefix pack-relative-relocs nopack-relative-relocs "
    "text-unlikely-segment notext-unlikely-segment force-bti pac-plt bti-report dynamic-undefined-weak "
    "nodynamic-undefined-weak extern-protected-data noextern-protected-data indirect-extern-access "
    "noindirect-extern-access sectionheader report-relative-reloc noreloc-overflow ibt ibtplt shstk cet-report "
    "isa-level-report lam-u48 lam-u48-report lam-u57 lam-u57-report lam-report bndplt call-nop x86-64-v2 "
    "x86-64-v3 x86-64-v4 x86-64-baseline mark-plt nomark-plt rewrite-endbr rodynamic hazardplt ifunc-noplt "
    "retpolineplt buildd"
)
KEPT_KEYWORDS = frozenset(_KEPT_KEYWORDS.split())
"""Those that were looked at and say how code and tables are made, the patch's as the host's."""


@cache
def grammar() -> Grammar:
    """The table, ready for look-up."""
    return Grammar("GNU-style linker", TWO_DASH_ROWS, either_dash=ROWS, keywords=KEYWORDS)
