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
    Grammar,
    Role,
    Row,
)

ROWS: tuple[Row, ...] = (
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
    (Role.ARCHIVES, FLAG, "-ObjC -all_load -noall_load -why_load -whyload"),
    (Role.UNRESOLVED, SEPARATE, "-undefined"),
    (
        Role.SYMBOL_LIST,
        SEPARATE,
        "-exported_symbols_list -unexported_symbols_list -reexported_symbols_list -order_file -alias_list "
        "-exported_symbols_order",
    ),
    (Role.SYMBOL_LIST, SEPARATE_3, "-sectorder"),
    (Role.STRIP, FLAG, "-dead_strip -s -x -S -Si -Sn -Sp"),
    (
        Role.IDENTITY,
        SEPARATE,
        "-install_name -dylib_install_name -dylinker_install_name -compatibility_version "
        "-dylib_compatibility_version -current_version -dylib_current_version",
    ),
    (Role.SIDE_OUTPUT, SEPARATE, "-map -object_path_lto -dependency_info -bitcode_symbol_map"),
    (Role.SIDE_OUTPUT, EQUALS, "--reproduce --time-trace --print-symbol-order"),
    (
        Role.EXECUTABLE,
        SEPARATE,
        "-bundle_loader -e -image_base -seg1addr -pagezero_size -stack_size -stack_addr",
    ),
    (Role.EXECUTABLE, FLAG, "-allow_stack_execute"),
    (
        Role.PLAIN,
        SEPARATE,
        "-A -U -Y -u -add_ast_path -add_linker_option -allowable_client -bitcode_process_mode -cache_path_lto "
        "-client_name -commons -dirty_data_list -dot -dtrace -dyld_env -exported_symbol "
        "-final_output -force_symbol_not_weak -force_symbol_weak -force_symbols_coalesce_list "
        "-force_symbols_not_weak_list -force_symbols_weak_list -headerpad -init -interposable_list "
        "-kext_objects_dir -lto_library -max_default_common_align -max_relative_cache_size_lto -mcpu -mllvm "
        "-multiply_defined -multiply_defined_unused -non_global_symbols_no_strip_list "
        "-non_global_symbols_strip_list -objc_abi_version -objc_class_ro_signing_mismatch -oso_prefix "
        "-prune_after_lto -prune_interval_lto -read_only_relocs -sect_diff_relocs -seg_addr_table "
        "-seg_addr_table_filename -segalign -segment_order -segs_read_only_addr -segs_read_write_addr "
        "-snapshot_dir -source_version -sub_library -sub_umbrella -umbrella -unaligned_pointers "
        "-unexported_symbol -weak_reference_mismatches -why_live "
        "-plugin_path",
    ),
    (
        Role.PLAIN,
        SEPARATE_2,
        "-alias -segaddr -seg_page_size -section_order -sectobjectsymbols -move_to_ro_segment "
        "-move_to_rw_segment -rename_segment -add_empty_section",
    ),
    (Role.PLAIN, SEPARATE_3, "-sectcreate -segcreate -sectalign -segprot"),
    (Role.PLAIN, SEPARATE_4, "-rename_section"),
    (Role.PLAIN, JOINED, "-y -O -i"),
    (
        Role.PLAIN,
        FLAG,
        "-bind_at_load -demangle -dynamic -dead_strip_dylibs "
        "-headerpad_max_install_names -search_paths_first -search_dylibs_first -flat_namespace "
        "-twolevel_namespace -force_flat_namespace -fatal_warnings -no_deduplicate -no_implicit_dylibs "
        "-adhoc_codesign -no_adhoc_codesign -export_dynamic -single_module -multi_module -reproducible "
        "-debug_variant -no_warn_duplicate_libraries -warn_duplicate_libraries -no_compact_unwind "
        "-keep_private_externs -objc_stubs_small -objc_stubs_fast -ld_classic -ld_new -ld64 -v -w -t -M -X -Z -d "
        "-data_const -no_data_const -fixup_chains -no_fixup_chains -no_uuid -random_uuid -init_offsets "
        "-interposable -print_statistics -save-temps -application_extension "
        "-no_application_extension -no_function_starts -function_starts -no_data_in_code_info "
        "-data_in_code_info -mark_dead_strippable_dylib -private_bundle -no_objc_category_merging",
    ),
)


@cache
def grammar() -> Grammar:
    """The table, ready for look-up."""
    return Grammar("ld64-style linker", ROWS)
