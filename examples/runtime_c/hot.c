/* One conversation: the program says "anchor ADDRESS pid N"; who has a patch sends its jump table, as
   `hotpatch-stubgen link --jump-table FILE --table-format pairs` writes it, and no more; the program answers
   "loaded ADDRESS", where the patch's anchor is, or "refused REASON". */
#define _POSIX_C_SOURCE 200809L
#include "hot.h"

#include <ctype.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
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

/* Read a note's content from an ELF file; its size in bytes, 0 where there is none. */
static size_t read_note(const char *path, const char *owner, uint32_t type, unsigned char *content, size_t size) {
  FILE *file = fopen(path, "rb");
  Elf64_Ehdr header;
  Elf64_Phdr segment;
  Elf64_Nhdr note;
  char name[8] = "";
  size_t found = 0;
  if (!file) return 0;
  if (fread(&header, sizeof header, 1, file) != 1) header.e_phnum = 0;
  for (int i = 0; i < header.e_phnum && !found; i++) {
    if (fseek(file, (long)header.e_phoff + i * header.e_phentsize, SEEK_SET)) break;
    if (fread(&segment, sizeof segment, 1, file) != 1 || segment.p_type != PT_NOTE) continue;
    long at = (long)segment.p_offset, end = at + (long)segment.p_filesz;
    while (at < end && !fseek(file, at, SEEK_SET) && fread(&note, sizeof note, 1, file) == 1) {
      size_t letters = fread(name, 1, note.n_namesz < sizeof name ? note.n_namesz : sizeof name, file);
      at += (long)sizeof note + ((note.n_namesz + 3L) & ~3L);
      if (note.n_type == type && letters == strlen(owner) + 1 && !memcmp(name, owner, letters))
        found = fseek(file, at, SEEK_SET) ? 0 : fread(content, 1, note.n_descsz < size ? note.n_descsz : size, file);
      at += (note.n_descsz + 3L) & ~3L;
    }
  }
  fclose(file);
  return found;
}

struct identity { /* docs/identity.md */
  uint32_t layout, generation;
  uint64_t slide;
  unsigned char session[16];
  char tool[16];
  uint32_t kind, size;
  unsigned char build[64];
};

/* The program's build id, as it was at the start: a file that is linked anew has another one. */
static unsigned char build[64];
static size_t build_size;

/* Why a patch is not for this process, by the note that is in it; NULL if nothing says so. */
static const char *mismatch(const char *library, uint64_t slide) {
  struct identity patch;
  static unsigned char session[16]; /* of the patches before */
  unsigned char none[16] = {0};
  size_t size = read_note(library, "stubgen", 1, (unsigned char *)&patch, sizeof patch);
  if (size < offsetof(struct identity, build)) return "has no identity";
  if (patch.layout != 1) return "says who it is in a newer way";
  if (patch.slide != slide) return "was linked for another process: the slide is not this one's";
  if (patch.kind == 1 && (patch.size != build_size || memcmp(patch.build, build, build_size)))
    return "was linked for another build of the program";
  if (memcmp(session, none, sizeof none) && memcmp(session, patch.session, sizeof session))
    return "is of another session than the one before";
  if (!memcmp(session, none, sizeof none) && patch.generation > 1)
    return "builds on earlier ones, and this process has taken none of its session: begin one with --new-session";
  memcpy(session, patch.session, sizeof session);
  return NULL;
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
  const char *why = NULL;
  if (!library || !anchor) snprintf(answer, size, "refused this is no table in the format pairs\n");
  else if (!(here = dlsym(program, anchor))) snprintf(answer, size, "refused the program does not export %s\n", anchor);
  else if (access(library, R_OK)) snprintf(answer, size, "refused %s: %s\n", library, strerror(errno));
  else if ((why = mismatch(library, (uintptr_t)here - host))) snprintf(answer, size, "refused the patch %s\n", why);
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
  build_size = read_note("/proc/self/exe", "GNU", NT_GNU_BUILD_ID, build, sizeof build);
  if (strlen(path) >= sizeof address.sun_path) return ENAMETOOLONG;
  strcpy(address.sun_path, path);
  unlink(path);
  int listening = socket(AF_UNIX, SOCK_STREAM, 0);
  if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address)) return errno;
  if (fcntl(listening, F_SETFD, FD_CLOEXEC) || chmod(path, S_IRUSR | S_IWUSR)) return errno;
  if (listen(listening, 4)) return errno; /* before, nobody can connect */
  int status = pthread_create(&thread, NULL, serve, (void *)(intptr_t)listening);
  return status ? status : pthread_detach(thread);
}
