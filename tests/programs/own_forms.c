/* What own_forms.S reaches, as code knows it that asks the loader. */
extern __thread long forms[], forms_far, lone[];
void forms_fill(void *);

const char *UNIT(int calls) {
  static const char *const what[] = {"addition", "far", "negative", "section", "byte",   "half",  "word",  "long",
                                     "vector",   "vector", "g2",    "g1",      "g0",     "lo12",  "flags", "x30"};
  long got[16], expected[16] = {
                    (long)&forms[1], (long)&forms_far, (long)&forms_far - 8, (long)&forms[3], 0x07, 0x0403, 0x08070605, 8,
                    5 + calls,       6,                (long)&forms[1],      (long)&forms_far, (long)&forms[2], (long)&lone[1],
                    1,               (long)&forms[0],
                };
  expected[5] = 0x0403, expected[4] = 0x07;
  forms_fill(got);
  for (int i = 0; i < 16; i++)
    if (got[i] != expected[i]) return what[i];
  forms[0]++;
  return 0;
}
