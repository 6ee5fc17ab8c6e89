/* Functions of a running program that patches replace: call them as HOT(checkout)(order). */
#ifndef HOT_H
#define HOT_H

#ifdef __cplusplus
extern "C" {
#endif

typedef void hot_function(void); /* any function: ISO C lets pointers to functions be cast to each other */

/* Take patches from the Unix socket at path, which only this user may reach, in a thread of its own. A null path, as of
   getenv() for a variable that nobody set, does nothing. Returns 0 or an error number. */
int hot_start(const char *path);

/* What now stands for a function: the newest patch's, or the function itself. Any thread may ask, at any time. */
hot_function *hot_look_up(hot_function *function);

#define HOT(function) ((__typeof__(&*(function)))hot_look_up((hot_function *)(function)))

#ifdef __cplusplus
}
#endif
#endif
