int bump(void);
int twice(void);
int version(void);
