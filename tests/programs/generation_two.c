int version(void);
int patch_main(void) { return 10 * version(); }
