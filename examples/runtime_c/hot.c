/* One conversation: the program says "anchor ADDRESS pid N"; who has a patch sends its jump table, as
   `hotpatch-stubgen link --jump-table FILE --table-format pairs` writes it, and no more; the program answers
   "loaded ADDRESS", where the patch's anchor is, or "refused REASON". */
#define _POSIX_C_SOURCE 200809L
#include "hot.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct entry { uintptr_t old, new; };                     /* runtime addresses */
struct table { size_t count; struct entry entries[]; };   /* by the old address */

static _Atomic(struct table *) current; /* one that was replaced is never freed: somebody may still be reading it */

static int by_old(const void *left, const void *right) {
  uintptr_t a = ((const struct entry *)left)->old, b = ((const struct entry *)right)->old;
  return (a > b) - (a < b);
}

hot_function *hot_look_up(hot_function *function) {
  const struct table *table = atomic_load(&current);
  struct entry wanted = {(uintptr_t)function, 0}, *found = NULL;
  if (table) found = bsearch(&wanted, table->entries, table->count, sizeof wanted, by_old);
  return found ? (hot_function *)found->new : function;
}

/* The next string or number of a JSON text. Strings are unquoted in place; of escapes, those of \ and " are known. */
enum token { END, KEY, STRING, NUMBER };
static enum token next_token(char **at, char **string, uintptr_t *number) {
  while (**at && **at != '"' && !isdigit((unsigned char)**at)) ++*at;
  if (!**at) return END;
  if (**at != '"') return *number = (uintptr_t)strtoull(*at, at, 10), NUMBER;
  char *end = *string = ++*at;
  for (; **at && **at != '"'; *end++ = *(*at)++)
    if (**at == '\\' && ((*at)[1] == '\\' || (*at)[1] == '"')) ++*at;
  if (**at) ++*at;
  *end = 0;
  return **at == ':' ? KEY : STRING;
}

/* Load the patch of a message and let its table be the one that counts; the answer. */
static void apply(char *message, size_t length, char *answer, size_t size) {
  struct table *table = malloc(sizeof *table + length / strlen("\"new\":0") * sizeof *table->entries);
  char *at = message, *string = "", *key = "", *library = NULL, *anchor = NULL;
  uintptr_t number = 0, host = 0, patch = 0;
  if (!table) { snprintf(answer, size, "refused %s\n", strerror(ENOMEM)); return; }
  table->count = 0;
  for (enum token token; (token = next_token(&at, &string, &number)) != END;) {
    if (token == KEY) key = string;
    else if (token == STRING && !strcmp(key, "library")) library = string;
    else if (token == STRING && !strcmp(key, "name") && !anchor) anchor = string; /* functions come after it */
    else if (token == NUMBER && !strcmp(key, "host")) host = number;
    else if (token == NUMBER && !strcmp(key, "patch")) patch = number;
    else if (token == NUMBER && !strcmp(key, "old")) table->entries[table->count].old = number;
    else if (token == NUMBER && !strcmp(key, "new")) table->entries[table->count++].new = number;
    if (token != KEY) key = "";
  }
  void *program = dlopen(NULL, RTLD_NOW), *loaded = NULL, *here = NULL, *there = NULL;
  if (!library || !anchor) snprintf(answer, size, "refused this is no table in the format pairs\n");
  else if (!(here = dlsym(program, anchor))) snprintf(answer, size, "refused the program does not export %s\n", anchor);
  else if (!(loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL))) snprintf(answer, size, "refused %s\n", dlerror());
  else if (!(there = dlsym(loaded, anchor))) snprintf(answer, size, "refused the patch does not export %s\n", anchor);
  if (!there) { free(table); return; }
  for (size_t i = 0; i < table->count; i++) {
    table->entries[i].old += (uintptr_t)here - host;
    table->entries[i].new += (uintptr_t)there - patch;
  }
  qsort(table->entries, table->count, sizeof *table->entries, by_old);
  atomic_store(&current, table);
  snprintf(answer, size, "loaded %p\n", there);
}

static void serve_client(int client) {
  char line[1024], *message = NULL, *larger;
  size_t length = 0, capacity = 0;
  ssize_t got = 0;
  snprintf(line, sizeof line, "anchor %p pid %ld\n", dlsym(dlopen(NULL, RTLD_NOW), "main"), (long)getpid());
  if (send(client, line, strlen(line), MSG_NOSIGNAL) < 0) return;
  do {
    length += (size_t)got;
    if (length + 1 >= capacity && (larger = realloc(message, capacity = 2 * capacity + 4096))) message = larger;
    else if (length + 1 >= capacity) break;
  } while ((got = recv(client, message + length, capacity - length - 1, 0)) > 0);
  if (length && !got) {
    message[length] = 0;
    apply(message, length, line, sizeof line);
    send(client, line, strlen(line), MSG_NOSIGNAL);
  }
  free(message);
}

static void *serve(void *listening) {
  for (int client; (client = accept((int)(intptr_t)listening, NULL, NULL)) >= 0 || errno == EINTR;)
    if (client >= 0) serve_client(client), close(client);
  return NULL;
}

int hot_start(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  pthread_t thread;
  if (!path) return 0;
  if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
  strcpy(address.sun_path, path);
  unlink(path);
  int listening = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address)) return errno;
  if (chmod(path, S_IRUSR | S_IWUSR) || listen(listening, 1)) return errno; /* nobody can connect before listen() */
  int status = pthread_create(&thread, NULL, serve, (void *)(intptr_t)listening);
  return status ? status : pthread_detach(thread);
}
