/* Counts the instructions of a thread by single-stepping it, for `crosswire bench instructions`.

   The trap flag of the processor raises SIGTRAP behind each instruction; the handler looks at the one that is next. The
   count begins at the first stamp (lfence rdtsc without mfence before it: what the stages are bounded by, in C and in
   ours), goes to the next stage at each other one, and ends at the last. Nothing is estimated: runs of the same path agree. */

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ucontext.h>

enum { STAGES = 6, STEPS_MAX = 1 << 16, TRAP_FLAG = 0x100, BYTES = 16 };
enum { PAGE_BYTES = 4096 };
static const uint8_t MFENCE[] = {0x0F, 0xAE, 0xF0}, LFENCE[] = {0x0F, 0xAE, 0xE8};

typedef struct { uint64_t address; int64_t stage; uint8_t bytes[BYTES]; } step_t;

/* By stage: all, and of them push or pop, calls, divisions. */
typedef struct { int64_t all, stack, calls, divisions; } counts_t;

static struct {
  int64_t stage, begun, ended, steps;
  counts_t counts[STAGES];
  int is_armed, is_closing, is_stored;
  step_t trace[STEPS_MAX];  /* of the last count */
} counter;

/* A stamp is lfence, rdtsc, lfence, between which the compiler may have put something else. Code may end with its page:
   no byte is read before those in front of it are known to begin a fence. */
static int is_stamp(const uint8_t *at) {
  if (at[0] != 0x0F) return 0;
  if (at[1] == 0x31) {
    int found = counter.is_armed;
    counter.is_closing = found;
    counter.is_armed = 0;
    return found;
  }
  if (at[1] != 0xAE) return 0;
  if (at[2] == MFENCE[2]) counter.is_stored = 1;
  if (at[2] == LFENCE[2]) {
    counter.is_armed = !counter.is_closing && !counter.is_stored;
    counter.is_closing = counter.is_stored = 0;
  }
  return 0;
}

static void take(const uint8_t *at) {
  step_t *step = &counter.trace[counter.steps++];
  step->address = (uint64_t)at;
  step->stage = counter.stage;
  size_t left = PAGE_BYTES - ((uint64_t)at & (PAGE_BYTES - 1));
  memset(step->bytes, 0, BYTES);
  memcpy(step->bytes, at, left < BYTES ? left : BYTES);
  if (counter.stage < 0) return;
  counts_t *counts = &counter.counts[counter.stage];
  counts->all++;
  at = step->bytes;
  if ((*at & 0xF0) == 0x40) at++;  /* REX */
  uint8_t field = at[1] >> 3 & 7;
  counts->stack += *at >= 0x50 && *at <= 0x5F;
  counts->calls += *at == 0xE8 || (*at == 0xFF && field == 2);
  counts->divisions += *at == 0xF7 && field >= 6;
}

static void trap(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const uint8_t *at = (const uint8_t *)registers[REG_RIP];
  if (is_stamp(at)) counter.stage++;
  int ends = counter.stage == STAGES;
  counter.ended += ends;
  if (ends || counter.steps == STEPS_MAX) registers[REG_EFL] &= ~(greg_t)TRAP_FLAG;
  else take(at);
}

int64_t step_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = trap;
  action.sa_flags = SA_SIGINFO;
  memset(&counter, 0, sizeof counter);
  return sigaction(SIGTRAP, &action, NULL);
}

/* From here to the last stamp every instruction traps. */
int64_t step_begin(void) {
  counter.stage = -1;
  counter.steps = 0;
  counter.is_armed = counter.is_closing = counter.is_stored = 0;
  counter.begun++;
  __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
  return 0;
}

int64_t step_begun(void) { return counter.begun; }
int64_t step_ended(void) { return counter.ended; }
const counts_t *step_counts(void) { return counter.counts; }
int64_t step_traced(void) { return counter.steps; }
const step_t *step_trace(void) { return counter.trace; }
