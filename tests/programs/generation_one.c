int version(void) { return 2; }
int patch_main(void) { return version(); }
