/* Faults of memory inside a library of the engine, which its runtime turns into errors of the call.
 *
 * That runtime handles SIGSEGV, SIGBUS and SIGFPE, and hands on what did not happen in its own code. A handler that is
 * installed later, as faulthandler.enable() does, comes first, and would end the process for a fault that is about to
 * be recovered from. So whoever came first is asked about faults outside the library only: a handler here looks at the
 * program counter and calls the one or the other.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "library.h"

#include <link.h>
#include <signal.h>
#include <stddef.h>
#include <ucontext.h>

#define KINDS 3

static const int kinds[KINDS] = {SIGSEGV, SIGBUS, SIGFPE};

/* Written with the load lock or the GIL held. A handler that is installed already may read of a library that is being
 * learned of: its size comes last. */
static struct {
  struct sigaction handlers[KINDS]; /* the runtime's */
  uintptr_t start, size;            /* of its code; size 0: not loaded, or unknown */
} libraries[LIBRARIES];
static struct sigaction before[KINDS]; /* who came first until on_fault did */

static uintptr_t program_counter(const ucontext_t *context) {
#if defined(__x86_64__)
  return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (uintptr_t)context->uc_mcontext.pc;
#else
  (void)context;
  return 0; /* nowhere in the library: nothing changes */
#endif
}

static void on_fault(int number, siginfo_t *info, void *context) {
  int kind = 0;
  while (kind < KINDS - 1 && kinds[kind] != number) kind++;
  int sent = info->si_code <= 0; /* by a process, with kill */
  const struct sigaction *next = &before[kind];
  for (int i = 0; i < LIBRARIES && !sent; i++)
    if (program_counter(context) - libraries[i].start < libraries[i].size) next = &libraries[i].handlers[kind];
  if (next->sa_flags & SA_SIGINFO)
    next->sa_sigaction(number, info, context);
  else
    next->sa_handler(number);
}

typedef struct {
  void *address;
  uintptr_t start, size;
} code;

/* Finds the executable segment that the address is in. */
static int find_code(struct dl_phdr_info *object, size_t size, void *argument) {
  (void)size;
  code *wanted = argument;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    uintptr_t start = (uintptr_t)object->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) && (uintptr_t)wanted->address - start < segment->p_memsz) {
      wanted->start = start;
      wanted->size = segment->p_memsz;
      return 1;
    }
  }
  return 0;
}

void faults_learn(enum library_kind which, void *address) {
  code found = {address, 0, 0};
  libraries[which].size = 0;
  dl_iterate_phdr(find_code, &found);
  for (int kind = 0; kind < KINDS; kind++)
    if (sigaction(kinds[kind], NULL, &libraries[which].handlers[kind])) found.size = 0;
  libraries[which].start = found.start;
  __atomic_store_n(&libraries[which].size, found.size, __ATOMIC_RELEASE);
}

static int is_of_a_library(const struct sigaction *action, int kind) {
  for (int i = 0; i < LIBRARIES; i++)
    if (libraries[i].size && action->sa_sigaction == libraries[i].handlers[kind].sa_sigaction) return 1;
  return 0;
}

void faults_guard(void) {
  if (!libraries[LIBRARY_MEMORY].size && !libraries[LIBRARY_FULL].size) return;
  for (int kind = 0; kind < KINDS; kind++) {
    struct sigaction first;
    if (sigaction(kinds[kind], NULL, &first)) return;
    if (first.sa_handler == SIG_DFL || first.sa_handler == SIG_IGN || first.sa_sigaction == on_fault ||
        is_of_a_library(&first, kind)) {
      if (kind == 0) return; /* faulthandler takes all or none */
      continue;
    }
    before[kind] = first;
    struct sigaction ours = first;
    ours.sa_sigaction = on_fault;
    ours.sa_flags |= SA_SIGINFO | SA_ONSTACK;
    sigaction(kinds[kind], &ours, NULL);
  }
}
