"""Options of the compiler drivers that link: gcc, clang, what rustc, CMake, Xcode and Swift pass to them, zig cc.

Only options with operands and options that a plan acts on need a row: a driver takes any other argument with
a dash as one whole option. Operand counts are clang's and gcc's, checked against both by
``tests/linkplan/test_arity_oracle.py``.
"""

from __future__ import annotations

from functools import cache

from stubgen.linkplan.gnu_options import KEYWORDS
from stubgen.linkplan.options import (
    EQUALS,
    FLAG,
    JOINED,
    JOINED_AND_SEPARATE,
    JOINED_OR_SEPARATE,
    SEPARATE,
    SEPARATE_2,
    SEPARATE_3,
    SEPARATE_OR_EQUALS,
    SEPARATE_UNLESS_DASH,
    Grammar,
    OptionRow,
    Role,
)

ROWS: tuple[OptionRow, ...] = (
    (Role.FORWARD_LIST, JOINED, "-Wl,"),
    (Role.FORWARD_NEXT, SEPARATE, "-Xlinker"),
    (Role.FORWARD_NEXT, SEPARATE_OR_EQUALS, "--for-linker"),
    (Role.OUTPUT, JOINED_OR_SEPARATE, "-o"),
    (Role.OUTPUT, SEPARATE_OR_EQUALS, "--output"),
    (Role.SHARED, FLAG, "-shared --shared -dynamiclib -emit-library -qmkshrobj"),
    (Role.MODE, FLAG, "-bundle -pie --pie -no-pie --no-pie -nopie -no_pie -execute -emit-executable"),
    (Role.STATIC, FLAG, "-static --static -static-pie --static-pie -static-executable"),
    (Role.RELOCATABLE, FLAG, "-r --relocatable"),
    (Role.COMPILE, FLAG, "-c -E -S -M -MM -fsyntax-only --compile --assemble --preprocess -emit-ast"),
    (Role.COMPILE, FLAG, "-emit-object -typecheck -emit-ir -emit-bc -emit-assembly -emit-sil -emit-sib -dump-ast"),
    (
        Role.NO_LINK,
        FLAG,
        "-### --version --help -help --help-hidden -help-hidden -dumpversion -dumpmachine -dumpfullversion "
        "-dumpspecs --target-help -print-search-dirs --print-search-dirs -print-libgcc-file-name "
        "--print-libgcc-file-name -print-multi-directory -print-multi-lib -print-sysroot -print-target-triple "
        "--print-target-triple -print-effective-triple -print-resource-dir --print-resource-dir "
        "-print-supported-cpus --print-supported-cpus -print-targets --print-targets -print-target-info",
    ),
    (
        Role.NO_LINK,
        EQUALS,
        "-print-file-name --print-file-name -print-prog-name --print-prog-name --autocomplete",
    ),
    (Role.END_OF_OPTIONS, FLAG, "--"),
    (Role.LANGUAGE, JOINED_OR_SEPARATE, "-x"),
    (Role.LANGUAGE, SEPARATE_OR_EQUALS, "--language"),
    (Role.TARGET, SEPARATE, "-arch -target -arch_only -darwin-target-variant"),
    (Role.TARGET, EQUALS, "--target"),
    (
        Role.TARGET,
        JOINED,
        "-mmacosx-version-min= -mmacos-version-min= -miphoneos-version-min= -mios-version-min= "
        "-mios-simulator-version-min= -miphonesimulator-version-min= -mtvos-version-min= -mappletvos-version-min= "
        "-mtvos-simulator-version-min= -mwatchos-version-min= -mwatchos-simulator-version-min= -mtargetos= "
        "-mxros-version-min=",
    ),
    (Role.SEARCH, JOINED_OR_SEPARATE, "-L -F -B"),
    (
        Role.SEARCH,
        SEPARATE_OR_EQUALS,
        "--sysroot --library-directory --prefix -resource-dir -specs --specs",
    ),
    (
        Role.SEARCH,
        SEPARATE,
        "-isysroot -rpath -iframework -gcc-toolchain -ccc-install-dir -working-directory",
    ),
    (
        Role.SEARCH,
        EQUALS,
        "-fuse-ld -use-ld --ld-path --gcc-toolchain --gcc-install-dir --gcc-triple",
    ),
    (Role.LIBRARY, JOINED, "-weak-l -needed-l -reexport-l -upward-l -hidden-l -lazy-l"),
    (Role.LIBRARY, JOINED_OR_SEPARATE, "-l"),
    (Role.LIBRARY_FILE, SEPARATE, "-weak_library -needed_library -reexport_library -upward_library"),
    (
        Role.FRAMEWORK,
        SEPARATE,
        "-framework -weak_framework -needed_framework -reexport_framework -lazy_framework",
    ),
    (Role.INPUT, SEPARATE, "-filelist -force_load"),
    (Role.INPUT_FORMAT, JOINED_OR_SEPARATE, "-b"),
    (Role.ARCHIVES, FLAG, "-all_load -ObjC -noall_load"),
    (Role.ARCHIVES, JOINED, "-static-lib"),
    (Role.UNRESOLVED, SEPARATE, "-undefined"),
    (Role.INITIALISER, SEPARATE, "-init"),
    (Role.DEFINITION, SEPARATE_2, "-alias"),
    (Role.ROOT, JOINED_OR_SEPARATE, "-u"),
    (Role.ROOT, SEPARATE_OR_EQUALS, "--force-link"),
    (Role.EXPORT, SEPARATE, "-exported_symbol"),
    (Role.NO_EXPORT, SEPARATE, "-unexported_symbol"),
    (Role.BINDING, FLAG, "-flat_namespace -force_flat_namespace"),
    (Role.SYMBOL_LIST, SEPARATE, "-exported_symbols_list -unexported_symbols_list -order_file"),
    (Role.SYMBOL_LIST, SEPARATE_3, "-sectorder"),
    (Role.STRIP, FLAG, "-s -dead_strip"),
    (Role.MODE, EQUALS, "-flinker-output"),
    (
        Role.IDENTITY,
        SEPARATE,
        "-install_name -compatibility_version -current_version -dylinker_install_name -umbrella",
    ),
    (
        Role.SIDE_OUTPUT,
        SEPARATE,
        "-MF --serialize-diagnostics -serialize-diagnostics -dependency-file -dependency-dot -aux-info "
        "-object_path_lto -dependency_info -map -gen-cdb-fragment-path -emit-module-path "
        "-emit-objc-header-path -output-file-map -index-store-path -index-unit-output-path",
    ),
    (Role.SIDE_OUTPUT, JOINED_OR_SEPARATE, "-MJ"),
    (Role.SIDE_OUTPUT, JOINED, "-foptimization-record-file= -fsave-optimization-record= -Wcrl,"),
    (Role.EXECUTABLE, JOINED_OR_SEPARATE, "-e -Ttext -Tdata -Tbss"),
    (Role.EXECUTABLE, EQUALS, "--entry"),
    (
        Role.EXECUTABLE,
        SEPARATE,
        "-bundle_loader -image_base -seg1addr -pagezero_size -stack_size -stack_addr -seg_addr_table "
        "-seg_addr_table_filename -segs_read_only_addr -segs_read_write_addr",
    ),
    (Role.EXECUTABLE, SEPARATE_2, "-segaddr"),
    (Role.NOT_LOADABLE, SEPARATE_3, "-segprot"),
    (Role.REPORT, SEPARATE, "-why_live"),
    (Role.FINAL, FLAG, "-rdynamic"),
    (Role.LAYOUT, JOINED_OR_SEPARATE, "-T"),
    (Role.KEYWORD, JOINED_OR_SEPARATE, "-z"),
    (Role.PLAIN, JOINED_OR_SEPARATE, "-I -D -U -A -G -R -MT -MQ -h"),
    (Role.PLAIN, JOINED_AND_SEPARATE, "-Xarch_ -Xopenmp-target="),
    (
        Role.PLAIN,
        SEPARATE_OR_EQUALS,
        "--param --include --imacros --define-macro --undefine-macro --include-directory",
    ),
    (
        Role.PLAIN,
        SEPARATE,
        "-Xclang -Xassembler -Xpreprocessor -Xanalyzer -Xcuda-ptxas -Xcuda-fatbinary -Xoffload-linker "
        "-Xopenmp-target -Xflang -Xcc -Xfrontend -Xclang-linker -Xllvm -mllvm -mmlir -mthread-model -meabi "
        "-include -include-pch -imacros -iprefix -iquote -isystem -isystem-after -idirafter -cxx-isystem "
        "-stdlib++-isystem -iwithprefix -iwithprefixbefore -iwithsysroot -iframeworkwithsysroot -imultilib "
        "-imultiarch -ivfsoverlay -ivfsstatcache -vfsoverlay --vfsoverlay -iapinotes-modules -ftrapv-handler "
        "-fdebug-compilation-dir -fmodules-user-build-path -module-dependency-dir -arcmt-migrate-report-output "
        "-ccc-gcc-name -ccc-arcmt-migrate -ccc-objcmt-migrate --analyzer-output -darwin-target-variant-triple "
        "-dumpdir -dumpbase -dumpbase-ext -wrapper -dsym-dir -V "
        "-allowable_client -client_name -sub_library -sub_umbrella -multiply_defined "
        "-multiply_defined_unused -read_only_relocs -dylib_file "
        "-weak_reference_mismatches -add_ast_path -objc_abi_version -lto_library -commons -headerpad -assert "
        "-module-name -sdk -swift-version -num-threads -module-cache-path -module-link-name -J -module "
        "-tools-directory -plugin-path -external-plugin-path -load-plugin-library -load-plugin-executable "
        "-user-module-version -package-name -access-notes-path -enable-experimental-feature "
        "-enable-upcoming-feature -file-compilation-dir -fexperimental-openacc-macro-override",
    ),
    (Role.PLAIN, SEPARATE_2, "-sectobjectsymbols"),
    (Role.PLAIN, SEPARATE_3, "-sectcreate -segcreate -sectalign"),
    (Role.PLAIN, SEPARATE_UNLESS_DASH, "-tp"),
    (
        Role.PLAIN,
        FLAG,
        # Names that a shorter joined option would swallow: -o, -e, -u, -x, -l, -T, -D, -h, -b, -A, -G, -R, -z.
        "-object -emit-llvm -emit-interface-stubs -emit-merged-ifs -emit-module "
        "-undef -hidden -ansi -export_dynamic -ObjC++ "
        "-bind_at_load -time -traditional -trigraphs -traditional-cpp -analyze",
    ),
    (Role.PLAIN, JOINED, "-objcmt- -object-file-name= -Rpass -working-directory="),
)


LIBTOOL_ROWS: tuple[OptionRow, ...] = (
    (
        Role.LIBTOOL,
        SEPARATE,
        "-bindir -dlopen -dlpreopen -export-symbols -export-symbols-regex -objectlist -precious-files-regex "
        "-release -rpath -R -shrext -version-info -version-number -weak -XCClinker -Xcompiler",
    ),
    (
        Role.LIBTOOL,
        FLAG,
        "-avoid-version -export-dynamic -module -no-fast-install -no-install -no-undefined -shared -static "
        "-static-libtool-libs -thread-safe -prefer-pic -prefer-non-pic",
    ),
    (Role.STATIC, FLAG, "-all-static"),
    (Role.LIBTOOL, JOINED, "-Wc,"),
)
"""What ``libtool --mode=link`` takes besides (Libtool manual, "Link mode"); they go before the driver's own."""


@cache
def libtool_grammar() -> Grammar:
    """The table for a driver behind libtool."""
    own = {name for _, _, names in LIBTOOL_ROWS for name in names.split()}
    rows = [(role, form, " ".join(name for name in names.split() if name not in own)) for role, form, names in ROWS]
    return Grammar("compiler driver behind libtool", [*rows, *LIBTOOL_ROWS], keywords=KEYWORDS)


@cache
def grammar() -> Grammar:
    """The table, ready for look-up."""
    return Grammar("compiler driver", ROWS, keywords=KEYWORDS)  # both gcc and clang hand -z to the linker
