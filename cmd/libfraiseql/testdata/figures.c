/* figures LIBRARY ROUNDS: what calls cost, as "name value unit" lines; calls in processor time of the calling thread,
 * which does all the work of them. */
#include "library.h"

static double nanoseconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double now(void) { return nanoseconds(CLOCK_THREAD_CPUTIME_ID); }

static void figure(const char *name, double begin, int rounds) { printf("%s %.0f ns\n", name, (now() - begin) / rounds); }

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  int rounds = atoi(argv[2]);
  double begin = nanoseconds(CLOCK_MONOTONIC);
  load(argv[1]);
  double loaded = nanoseconds(CLOCK_MONOTONIC);
  fq_text config = TEXT("{}");
  fq_shared *shared;
  int64_t engine = fq_engine_new(&config, &shared, fresh());
  printf("load %.0f us\nfirst engine %.0f us\n", (loaded - begin) / 1e3, (nanoseconds(CLOCK_MONOTONIC) - loaded) / 1e3);
  begin = now();
  static int64_t more[1000];
  for (int i = 0; i < 1000; i++) more[i] = fq_engine_new(&config, &shared, fresh());
  figure("later engine", begin, 1000);
  for (int i = 0; i < 1000; i++) fq_engine_close(more[i], fresh());
  fq_subscription s = {.connection_id = TEXT("c"), .subscription_id = TEXT("s"), .query = TEXT("subscription { users { id name } }")};
  int64_t subscription = fq_subscribe(engine, &s, fresh());
  fq_event event = {.channel = TEXT("users"), .type = TEXT("created"),
                    .data = TEXT("{\"id\":\"123\",\"name\":\"somebody\",\"age\":42,\"active\":true,\"score\":1.5}")};
  if (subscription < 0) {
    printf("%.*s\n", (int)out.len, out.data);
    return 1;
  }
  begin = now();
  for (int i = 0; i < rounds; i++) fq_abi();
  figure("a call", begin, rounds);
  begin = now();
  for (int i = 0; i < rounds; i++) fq_next(engine, subscription, fresh());
  figure("next, none", begin, rounds);
  double publishing = 0, pulling = 0;
  int count = 0;
  for (int i = 0; i < rounds / 100; i++) {
    begin = now();
    for (int k = 0; k < 100; k++) count += (int)fq_publish(engine, &event, 1, fresh());
    publishing += now() - begin;
    begin = now();
    for (int k = 0; k < 100; k++) count -= (int)fq_next(engine, subscription, fresh());
    pulling += now() - begin;
  }
  printf("publish %.0f ns\nnext, a message %.0f ns\nlost %d\n", publishing / rounds, pulling / rounds, count);
  fq_event batch[100];
  for (int k = 0; k < 100; k++) batch[k] = event;
  char *large = malloc(1 << 20);
  double batched = 0, taken = 0;
  for (int i = 0; i < rounds / 100; i++) {
    begin = now();
    fq_publish(engine, batch, 100, fresh());
    batched += now() - begin;
    fq_out many = {large, 1 << 20, 0, 0};
    begin = now();
    if (fq_take(engine, subscription, 100, &many) != 100) return 1;
    taken += now() - begin;
  }
  printf("publish of 100, each %.0f ns\ntake of 100, each %.0f ns\n", batched / rounds, taken / rounds);
  fq_engine_close(engine, fresh());
  return 0;
}
