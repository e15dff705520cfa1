/* signals: what loading does to the signals of the host, as fraiseql.h says it. */
#include "library.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

static void handler(int signal) { (void)signal; }

/* blocked reads the mask of a thread. */
static unsigned long long blocked(const char *thread) {
  char path[320], line[256];
  unsigned long long mask = 0;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
  FILE *f = fopen(path, "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) sscanf(line, "SigBlk: %llx", &mask);
  if (f != NULL) fclose(f);
  return mask;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sigaction before[SIGRTMAX + 1], after, action = {.sa_handler = handler};
  signal(SIGPIPE, SIG_IGN);
  sigaction(SIGINT, &action, NULL);
  for (int s = 1; s <= SIGRTMAX; s++) sigaction(s, NULL, &before[s]);
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &old);
  load(argv[1]);
  fq_abi();
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  printf("taken:");
  for (int s = 1; s <= SIGRTMAX; s++) {
    if (sigaction(s, NULL, &after) == 0 && after.sa_handler != before[s].sa_handler) printf(" SIG%s", sigabbrev_np(s));
  }
  sigaction(SIGINT, NULL, &after);
  printf("\nSIGINT on the alternate stack: %s\n", after.sa_flags & SA_ONSTACK ? "yes" : "no");
  int open = 0;
  char own[32];
  snprintf(own, sizeof own, "%d", getpid());
  DIR *threads = opendir("/proc/self/task");
  for (struct dirent *d; (d = readdir(threads)) != NULL;) {
    if (d->d_name[0] == '.' || !strcmp(d->d_name, own)) continue;
    for (const int *s = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGALRM, 0}; *s; s++)
      open += !(blocked(d->d_name) >> (*s - 1) & 1);
  }
  printf("signals of the host that its threads take: %d\n", open);
  return 0;
}
