/* faults: makes every export panic and read through a nil pointer. Each call answers with an error that tells nothing of
 * the inside, and the library goes on. */
#include "library.h"

#include <signal.h>
#include <unistd.h>

static int failures;

static void fail(const char *name, int64_t kind, const char *what, int64_t result) {
  failures++;
  printf("%s, kind %ld: %s: %ld %.*s\n", name, (long)kind, what, (long)result, (int)out.len, out.len ? out.data : "");
}

/* died is the host's own handler, as a debugging aid has one: it must not be asked about faults of the library. */
static void died(int signal) {
  (void)signal;
  static const char text[] = "the host's handler was called\n";
  if (write(1, text, sizeof text - 1) < 0) _exit(4);
  _exit(3);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sigaction action = {.sa_handler = died};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  load(argv[1]);
  if (fq_fault == NULL) return 2;
  static const char inside[] = "{\"code\":\"INTERNAL_SERVER_ERROR\",\"message\":\"A fault of the library.\",\"errors\":[]}";
  fq_text none = {0}, config = TEXT("{}");
  fq_subscription nobody = {0};
  fq_event nothing = {0};
  fq_shared *shared;
  int64_t number;
  for (int64_t kind = 1; kind <= 2; kind++) {
#define BREAK(name, parameters, arguments)                                                                            \
  {                                                                                                                   \
    fresh();                                                                                                          \
    fq_fault(#name, kind);                                                                                            \
    int64_t result = name arguments;                                                                                  \
    if (result != FQ_ERROR) fail(#name, kind, "result", result);                                                      \
    if (strstr(#parameters, "fq_out") && (out.len != sizeof inside - 1 || memcmp(out.data, inside, sizeof inside - 1))) \
      fail(#name, kind, "text", result);                                                                              \
    result = name arguments;                                                                                          \
    if (out.len == sizeof inside - 1) fail(#name, kind, "the call after it", result);                                 \
  }
    EXPORTS(BREAK)
  }
  int64_t engine = fq_engine_new(&config, &shared, fresh());
  if (engine <= 0 || fq_metrics(engine, fresh()) != 0 || fq_engine_close(engine, fresh()) != 0) fail("an engine", 0, "after", engine);
  return failures != 0;
}
