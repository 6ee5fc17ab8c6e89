"""Options of Apple's ld (ld64 and its successor) and of ld64.lld: the union of what they accept.

Forms and operand counts are those of ld64's manual and of its argument loop, checked against ``ld64.lld`` by
``tests/linkplan/test_arity_oracle.py``. Apple's ld compares whole words: ``-oX`` is no ``-o``.
"""

from __future__ import annotations

from functools import cache

from stubgen.linkplan.options import (
    EQUALS,
    FLAG,
    JOINED,
    JOINED_OR_SEPARATE,
    SEPARATE,
    SEPARATE_2,
    SEPARATE_3,
    SEPARATE_4,
    SEPARATE_OR_EQUALS,
    Grammar,
    OptionRow,
    Role,
)

ROWS: tuple[OptionRow, ...] = (
    (Role.OUTPUT, SEPARATE, "-o"),
    (Role.SHARED, FLAG, "-dylib"),
    (
        Role.MODE,
        FLAG,
        "-execute -bundle -dylinker -pie -no_pie -preload -kext -fvmlib -pic_executable -no_new_main -new_main",
    ),
    (Role.STATIC, FLAG, "-static -kernel"),
    (Role.RELOCATABLE, FLAG, "-r"),
    (Role.TARGET, SEPARATE, "-arch -sdk_version -macosx_version_min -macos_version_min"),
    (
        Role.TARGET,
        SEPARATE,
        "-ios_version_min -iphoneos_version_min -ios_simulator_version_min -iosmac_version_min "
        "-uikitformac_version_min -maccatalyst_version_min -tvos_version_min -tvos_simulator_version_min "
        "-watchos_version_min -watchos_simulator_version_min -bridgeos_version_min -driverkit_version_min "
        "-xros_version_min -xros_simulator_version_min",
    ),
    (Role.TARGET, SEPARATE_3, "-platform_version"),
    (Role.SEARCH, JOINED_OR_SEPARATE, "-L -F"),
    (Role.SEARCH, SEPARATE, "-syslibroot -rpath -executable_path -dylib_file -image_suffix"),
    (Role.LIBRARY, JOINED, "-weak-l -needed-l -reexport-l -upward-l -hidden-l -lazy-l"),
    (Role.LIBRARY, JOINED_OR_SEPARATE, "-l"),
    (
        Role.LIBRARY_FILE,
        SEPARATE,
        "-weak_library -needed_library -reexport_library -upward_library -lazy_library -delay_library",
    ),
    (
        Role.FRAMEWORK,
        SEPARATE,
        "-framework -weak_framework -needed_framework -reexport_framework -upward_framework -lazy_framework "
        "-delay_framework",
    ),
    (Role.INPUT, SEPARATE, "-filelist -force_load -load_hidden"),
    (Role.MERGED, SEPARATE, "-merge_framework -merge_library"),
    (Role.MERGED, JOINED, "-merge-l"),
    (Role.GROUPING, FLAG, "--start-lib --end-lib"),
    (Role.ARCHIVES, FLAG, "-ObjC -all_load -noall_load -why_load -whyload"),
    (Role.UNRESOLVED, SEPARATE, "-undefined"),
    (Role.INITIALISER, SEPARATE, "-init"),
    (Role.DEFINITION, SEPARATE_2, "-alias"),
    (Role.DEFINITION, JOINED, "-i"),  # -iNAME:OTHER, an indirect symbol
    (Role.ROOT, SEPARATE, "-u"),
    (Role.SYMBOL, SEPARATE, "-force_symbol_not_weak -force_symbol_weak"),
    (Role.EXPORT, SEPARATE, "-exported_symbol"),
    (Role.NO_EXPORT, SEPARATE, "-unexported_symbol"),
    (Role.NO_EXPORT, FLAG, "-no_exported_symbols"),
    (
        Role.SYMBOL_LIST,
        SEPARATE,
        "-exported_symbols_list -unexported_symbols_list -reexported_symbols_list -order_file -alias_list "
        "-exported_symbols_order -interposable_list -dirty_data_list -force_symbols_coalesce_list "
        "-force_symbols_not_weak_list -force_symbols_weak_list",
    ),
    (Role.BINDING, FLAG, "-flat_namespace -force_flat_namespace -interposable"),
    (Role.SYMBOL_LIST, SEPARATE_3, "-sectorder"),
    (Role.STRIP, FLAG, "-dead_strip -s -x -S -Si -Sn -Sp"),
    (Role.STRIP, SEPARATE, "-non_global_symbols_no_strip_list -non_global_symbols_strip_list"),
    (
        Role.IDENTITY,
        SEPARATE,
        "-install_name -dylib_install_name -dylinker_install_name -compatibility_version "
        "-dylib_compatibility_version -current_version -dylib_current_version -final_output -umbrella",
    ),
    (
        Role.SIDE_OUTPUT,
        SEPARATE,
        "-map -object_path_lto -dependency_info -bitcode_symbol_map -sdk_imports -snapshot_dir -trace_dependencies",
    ),
    (Role.SIDE_OUTPUT, FLAG, "-sdk_imports_each_object"),
    (Role.SIDE_OUTPUT, EQUALS, "--reproduce --time-trace --print-symbol-order"),
    (Role.REPORT, SEPARATE, "-why_live"),
    (Role.REPORT, JOINED, "-y"),
    (Role.REPORT, FLAG, "-t -print_statistics --print-dylib-search"),
    (Role.NO_LINK, FLAG, "--version --help --help-hidden -version_details"),
    (
        Role.EXECUTABLE,
        SEPARATE,
        "-bundle_loader -e -image_base -seg1addr -pagezero_size -stack_size -stack_addr -dyld_env -seg_addr_table "
        "-seg_addr_table_filename -segs_read_only_addr -segs_read_write_addr -A",
    ),
    (Role.EXECUTABLE, SEPARATE_2, "-segaddr"),
    (Role.EXECUTABLE, FLAG, "-make_mergeable -merged_libraries_hook -no_merged_libraries_hook"),
    (Role.NOT_LOADABLE, FLAG, "-allow_stack_execute -no_adhoc_codesign"),
    (Role.NOT_LOADABLE, SEPARATE_3, "-segprot"),
    (
        Role.PLAIN,
        SEPARATE,
        "-U -Y -add_ast_path -add_linker_option -allowable_client -bitcode_process_mode -cache_path_lto "
        "-client_name -commons -dot -dtrace -headerpad "
        "-kext_objects_dir -lto_library -max_default_common_align -max_relative_cache_size_lto -mcpu -mllvm "
        "-multiply_defined -multiply_defined_unused "
        "-objc_abi_version -objc_class_ro_signing_mismatch -oso_prefix "
        "-prune_after_lto -prune_interval_lto -read_only_relocs -sect_diff_relocs "
        "-segalign -segment_order "
        "-source_version -sub_library -sub_umbrella -unaligned_pointers "
        "-weak_reference_mismatches "
        "-plugin_path",
    ),
    (
        Role.PLAIN,
        SEPARATE_2,
        "-seg_page_size -section_order -sectobjectsymbols -move_to_ro_segment -move_to_rw_segment -rename_segment "
        "-add_empty_section",
    ),
    (Role.PLAIN, SEPARATE_3, "-sectcreate -segcreate -sectalign"),
    (Role.PLAIN, SEPARATE_4, "-rename_section"),
    (Role.PLAIN, JOINED, "-O --keep-icf-stabs --lto-O --lto-CGO"),
    (
        Role.PLAIN,
        FLAG,
        "-bind_at_load -demangle -dynamic -dead_strip_dylibs "
        "-headerpad_max_install_names -search_paths_first -search_dylibs_first "
        "-twolevel_namespace -fatal_warnings -no_deduplicate -no_implicit_dylibs "
        "-adhoc_codesign -export_dynamic -single_module -multi_module -reproducible "
        "-debug_variant -no_warn_duplicate_libraries -warn_duplicate_libraries -no_compact_unwind "
        "-keep_private_externs -objc_stubs_small -objc_stubs_fast -ld_classic -ld_new -ld64 -v -w -M -X -Z -d "
        "-data_const -no_data_const -fixup_chains -no_fixup_chains -no_uuid -random_uuid -init_offsets "
        "-save-temps -application_extension "
        "-no_application_extension -no_function_starts -function_starts -no_data_in_code_info "
        "-data_in_code_info -mark_dead_strippable_dylib -private_bundle -no_objc_category_merging",
    ),
    (
        Role.PLAIN,
        FLAG,
        "-force_load_swift_libs -objc_category_merging -arch_errors_fatal -arch_multiple -ignore_auto_link "
        "-no_dtrace_dof -encryptable -no_encryption -ignore_optimization_hints -objc_relative_method_lists "
        "-no_objc_relative_method_lists --call-graph-profile-sort --no-call-graph-profile-sort "
        "--check-category-conflicts --cs-profile-generate --dead-strip-duplicates --deduplicate-strings "
        "--no-deduplicate-strings --lto-debug-pass-manager --pgo-warn-mismatch --no-pgo-warn-mismatch "
        "--no-color-diagnostics --strict-auto-link --warn-duplicate-rpath --no-warn-duplicate-rpath "
        "--warn-dylib-install-name --no-warn-dylib-install-name --warn-thin-archive-missing-members "
        "--no-warn-thin-archive-missing-members",
    ),
    (Role.PLAIN, SEPARATE_OR_EQUALS, "--ignore-auto-link-option"),
    (Role.FOLDING, EQUALS, "--icf"),
    (
        Role.PLAIN,
        EQUALS,
        "--color-diagnostics --cs-profile-path --error-limit --thinlto-cache-policy "
        "--thinlto-jobs --threads --time-trace-granularity --lto-newpm-passes --bp-startup-sort --irpgo-profile",
    ),
)


@cache
def grammar() -> Grammar:
    """The table, ready for look-up."""
    return Grammar("ld64-style linker", ROWS)
